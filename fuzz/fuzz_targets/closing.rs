//! Whatever happens while a connection is closing, our FIN is sent once, after all output and, if it has to wait for that,
//! after the peer's Close frame. The socket is closed once the peer has finished and all output has been sent, or once the
//! socket has failed or the time is up, and not before.

#![no_main]

use arbitrary::Arbitrary;
use libfuzzer_sys::fuzz_target;
use milliways_proto::closing::{Action, Closing, Fin};

#[derive(Arbitrary, Debug)]
struct Input {
    fin: Begin,
    buffered: u8,
    /// Each with whether the machine is polled after it.
    steps: Vec<(Step, bool)>,
}

#[derive(Arbitrary, Clone, Copy, Debug)]
enum Begin {
    AtOnce,
    AfterOutput,
    AfterPeerClose,
}

/// What happens next.
#[derive(Arbitrary, Debug)]
enum Step {
    /// The socket takes some of the output.
    Take(u8),
    /// There is more output, such as the answer to a Ping.
    Append(u8),
    CloseFrame,
    Fin,
    Failure,
    Timeout,
    Nothing,
}

/// What an observer of both sides has seen.
#[derive(Debug, Default)]
#[expect(clippy::struct_excessive_bools, reason = "a model of independent facts, not of states")]
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
                // The peer cannot have sent a Close frame after its FIN.
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
    // The timeout ends the connection in every state.
    closing.handle_timeout();
    assert_eq!(closing.poll(true), Some(Action::Remove));
});
