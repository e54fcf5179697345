//! What is noted of a connection that is read.

use milliways_proto::http::HttpError;
use milliways_tls::TlsConfig;

use super::Server;
use super::closing::End;
use super::conversation::{Talk, WebSocketFlag};
use crate::ids::{DomainId, Slot};
use crate::transport::Read;

impl Server {
    /// Reads once.
    pub(crate) fn read(&mut self, slot: Slot, buffer: &mut [u8]) -> Read {
        let was_handshaking = self.transport.is_handshaking(slot);
        let read = self.transport.read(slot, buffer);
        self.note_read(slot, was_handshaking, &read);
        read
    }

    /// Goes on with a TLS handshake by what an app has for a name.
    pub(crate) fn choose(
        &mut self,
        slot: Slot,
        config: &TlsConfig,
        domain: DomainId,
        buffer: &mut [u8],
        is_drained: bool,
    ) -> Read {
        let read = self.transport.choose(slot, config, domain, buffer, is_drained);
        self.note_read(slot, true, &read);
        read
    }

    fn note_read(&mut self, slot: Slot, was_handshaking: bool, read: &Read) {
        let now = self.clock.active();
        let conversation = &mut self.table[slot];
        if was_handshaking && !self.transport.is_handshaking(slot) {
            // The time of the protocol above begins.
            conversation.last_active = now;
            self.arm(slot);
        } else if let Talk::WebSocket { flags, .. } = &mut conversation.talk
            && matches!(read, Read::Data { .. } | Read::Garbled { .. })
        {
            // (A head has to be complete in time however many pieces it comes in, a body keeps a pace, and a closing
            // connection has no claim to anything.)
            flags.take(WebSocketFlag::Pinged);
            conversation.last_active = now;
        }
    }

    /// Has the kernel tell again what there is to read. It has nothing to tell of a peer that has finished by TLS.
    pub(crate) fn read_later(&mut self, slot: Slot) {
        if !self.transport.peer_has_closed(slot) {
            self.transport.rearm(slot);
        } else if self.is_held_up(slot) {
            self.table[slot].set_unread(true);
        } else {
            self.end(slot, End::Finished);
        }
    }

    /// What stands where a proxy may say who the peer is cannot be understood.
    pub(crate) fn refuse_preface(&mut self, slot: Slot) {
        self.end(slot, End::Refused(HttpError::Syntax));
    }
}
