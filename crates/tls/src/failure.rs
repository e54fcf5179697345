//! Why TLS sessions fail.

use rustls::{CertificateError, Error, InvalidMessage, PeerIncompatible};

use crate::record::Alert;

/// Declares [`Failure`]. Each line is a variant, its name, and what has happened.
macro_rules! failures {
    ($($variant:ident = $name:literal, $text:literal;)*) => {
        /// Why the handshake or the session of a peer has failed. Most are named after the alerts of RFC 8446 section 6.
        #[derive(Clone, Copy, Debug, PartialEq, Eq)]
        pub enum Failure {
            $(#[doc = concat!("`", $name, "`: ", $text, ".")] $variant,)*
        }

        impl Failure {
            /// The names of all failures, which are stable. The name of each is at its [index](Self::index).
            pub const NAMES: &'static [&'static str] = &[$($name),*];
        }
    };
}

failures! {
    NotTls = "NOT_TLS", "the first byte is not that of a TLS handshake";
    ProtocolVersion = "PROTOCOL_VERSION", "the client supports no version of TLS that the server does";
    HandshakeFailure = "HANDSHAKE_FAILURE", "client and server have no cipher suite, group or signature scheme in common";
    NoApplicationProtocol = "NO_APPLICATION_PROTOCOL", "the client offers protocols (ALPN), and none that the server has";
    CertificateExpired = "CERTIFICATE_EXPIRED", "the client's certificate has expired";
    UnknownCa = "UNKNOWN_CA", "the client's certificate is not from a known authority";
    BadCertificate = "BAD_CERTIFICATE", "the client's certificate or its signature is invalid for another reason";
    DecodeError = "DECODE_ERROR", "a message is malformed";
    IllegalParameter = "ILLEGAL_PARAMETER", "a message contradicts the protocol or an earlier message";
    UnexpectedMessage = "UNEXPECTED_MESSAGE", "a message or a record came out of turn, or many without data";
    RecordOverflow = "RECORD_OVERFLOW", "a record is longer than allowed";
    BadRecordMac = "BAD_RECORD_MAC", "a record cannot be decrypted";
    NoRenegotiation = "NO_RENEGOTIATION", "the client asks for renegotiation in TLS 1.2";
    HandshakeTooLong = "HANDSHAKE_TOO_LONG", "the client's part of the handshake is longer than the server keeps";
    PeerRefusedCertificate = "PEER_REFUSED_CERTIFICATE", "the client has refused the server's certificate";
    PeerAlert = "PEER_ALERT", "the client has sent another fatal alert";
    Abandoned = "ABANDONED", "the client has ended the connection in the middle of the handshake";
    Internal = "INTERNAL_ERROR", "the server could not go on";
}

impl Failure {
    /// Returns the number of this failure, counted from 0 in the order of the variants.
    pub fn index(self) -> usize {
        self as usize
    }

    /// Returns the stable name of this failure.
    pub fn name(self) -> &'static str {
        Self::NAMES[self.index()]
    }

    /// The failure behind an error of rustls.
    pub(crate) fn of_error(error: &Error) -> Self {
        match error {
            Error::PeerIncompatible(
                PeerIncompatible::Tls12NotOffered
                | PeerIncompatible::Tls12NotOfferedOrEnabled
                | PeerIncompatible::Tls13RequiredForQuic
                | PeerIncompatible::SupportedVersionsExtensionRequired
                // Only clients that know nothing newer than TLS 1.1 omit this extension.
                | PeerIncompatible::SignatureAlgorithmsExtensionRequired,
            ) => Self::ProtocolVersion,
            Error::PeerIncompatible(_) => Self::HandshakeFailure,
            Error::NoApplicationProtocol => Self::NoApplicationProtocol,
            Error::InvalidCertificate(CertificateError::Expired | CertificateError::ExpiredContext { .. }) => {
                Self::CertificateExpired
            }
            Error::InvalidCertificate(CertificateError::UnknownIssuer) => Self::UnknownCa,
            Error::InvalidCertificate(_) | Error::NoCertificatesPresented => Self::BadCertificate,
            Error::InvalidMessage(InvalidMessage::HandshakePayloadTooLarge) => Self::HandshakeTooLong,
            Error::InvalidMessage(_) => Self::DecodeError,
            Error::PeerMisbehaved(_) => Self::IllegalParameter,
            Error::InappropriateMessage { .. } | Error::InappropriateHandshakeMessage { .. } => Self::UnexpectedMessage,
            Error::PeerSentOversizedRecord => Self::RecordOverflow,
            Error::DecryptError => Self::BadRecordMac,
            Error::AlertReceived(description) => Self::of_peer_alert(u8::from(*description)),
            _ => Self::Internal,
        }
    }

    /// The failure behind an alert that is sent.
    pub(crate) fn of_alert(alert: Alert) -> Self {
        match alert {
            Alert::CloseNotify | Alert::InternalError => Self::Internal,
            Alert::UnexpectedMessage => Self::UnexpectedMessage,
            Alert::BadRecordMac => Self::BadRecordMac,
            Alert::RecordOverflow => Self::RecordOverflow,
            Alert::DecodeError => Self::DecodeError,
            Alert::ProtocolVersion => Self::ProtocolVersion,
            Alert::NoRenegotiation => Self::NoRenegotiation,
        }
    }

    /// The failure behind an alert that the peer has sent, which has this description (RFC 8446 section 6).
    pub(crate) fn of_peer_alert(description: u8) -> Self {
        // bad_certificate, unsupported_certificate, certificate_revoked, certificate_expired, certificate_unknown and
        // unknown_ca
        if matches!(description, 42..=46 | 48) { Self::PeerRefusedCertificate } else { Self::PeerAlert }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_index_is_the_place_of_a_name() {
        assert_eq!(Failure::NotTls.index(), 0);
        assert_eq!(Failure::Internal.index(), Failure::NAMES.len() - 1);
        assert_eq!(Failure::UnknownCa.name(), "UNKNOWN_CA");
    }

    #[test]
    fn alerts_of_the_peer_about_our_certificate_are_told_apart() {
        for (description, failure) in [
            (41, Failure::PeerAlert),
            (42, Failure::PeerRefusedCertificate),
            (46, Failure::PeerRefusedCertificate),
            (47, Failure::PeerAlert),
            (48, Failure::PeerRefusedCertificate),
            (80, Failure::PeerAlert),
        ] {
            assert_eq!(Failure::of_peer_alert(description), failure, "{description}");
        }
    }
}
