//! Whatever happens to a connection that is closing, and in whatever order: our FIN goes out once, behind everything that is
//! buffered and, where it has to, behind the peer's Close frame; and the socket goes when both sides have finished and the
//! peer has got everything, or when it has failed or has had its time.

#![no_main]

use arbitrary::Arbitrary;
use libfuzzer_sys::fuzz_target;
use milliways_proto::closing::{Action, Closing, Fin};

#[derive(Arbitrary, Debug)]
struct Input {
    fin: Begin,
    buffered: u8,
    steps: Vec<(Step, bool)>,
}

#[derive(Arbitrary, Clone, Copy, Debug)]
enum Begin {
    AtOnce,
    AfterOutput,
    AfterPeerClose,
}

/// What happens next; whether the machine is polled after it stands beside it.
#[derive(Arbitrary, Debug)]
enum Step {
    /// The socket takes some of what is buffered.
    Take(u8),
    /// More is buffered, such as the answer to a Ping.
    Append(u8),
    CloseFrame,
    Fin,
    Failure,
    Timeout,
    Nothing,
}

/// What an observer of both sides has seen.
#[derive(Debug, Default)]
struct Seen {
    buffered: u32,
    needs_close_frame: bool,
    close_frame: bool,
    peer_fin: bool,
    our_fin: bool,
    is_over: bool,
}

impl Seen {
    fn check(&mut self, closing: &mut Closing) {
        let may_go = self.is_over || self.peer_fin && self.buffered == 0;
        let fin_is_due = self.buffered == 0 && !self.our_fin && (self.close_frame || !self.needs_close_frame);
        match closing.poll(self.buffered > 0) {
            Some(Action::Remove) => assert!(may_go, "{self:?}"),
            Some(Action::SendFin) => {
                assert!(fin_is_due && !may_go, "{self:?}");
                self.our_fin = true;
            }
            None => assert!(!fin_is_due && !may_go, "{self:?}"),
        }
    }
}

fuzz_target!(|input: Input| {
    let fin = match input.fin {
        Begin::AtOnce => Fin::AtOnce,
        Begin::AfterOutput => Fin::AfterOutput,
        Begin::AfterPeerClose => Fin::AfterPeerClose,
    };
    let mut closing = Closing::new(fin);
    let needs_close_frame = fin == Fin::AfterPeerClose;
    let mut seen = Seen { buffered: input.buffered.into(), needs_close_frame, ..Seen::default() };
    for (step, is_polled) in &input.steps {
        match step {
            Step::Take(count) => seen.buffered = seen.buffered.saturating_sub((*count).into()),
            Step::Append(count) => seen.buffered += u32::from(*count),
            Step::CloseFrame => {
                closing.handle_close_frame();
                // What comes behind a FIN is nothing that the peer has sent.
                seen.close_frame |= !seen.peer_fin;
            }
            Step::Fin => {
                closing.handle_fin();
                seen.peer_fin = true;
            }
            Step::Failure => {
                closing.handle_failure();
                seen.is_over = true;
            }
            Step::Timeout => {
                closing.handle_timeout();
                seen.is_over = true;
            }
            Step::Nothing => {}
        }
        let is_awaiting = needs_close_frame && !seen.close_frame && !seen.peer_fin && !seen.is_over;
        assert_eq!(closing.awaits_close(), is_awaiting, "{seen:?}");
        if *is_polled {
            seen.check(&mut closing);
        }
    }
    // Patience ends whatever else there is.
    closing.handle_timeout();
    assert_eq!(closing.poll(true), Some(Action::Remove));
});
