//! The handlers of requests: how they respond, and what they do with bodies, at random.

use milliways_net::{BodyError, ResponseError, TryEnd};

use crate::clients::{KEY, OFFER};
use crate::http::{Answer, Pending, Route, Style, Taker};
use crate::model::{Connection, Id, Reason, connection_id};
use crate::world::{World, ensure};

impl World {
    /// A handler has got a request. It answers, promises to answer, or does neither.
    pub(crate) fn answer_first(&self, id: Id) {
        if self.is_quiet.get() {
            return self.answer_whole(id);
        }
        let what = self.below(20);
        if what > 0 {
            self.reactor.await_response(connection_id(id)).expect("a request that has just arrived");
            self.change_pending(id, |pending| pending.is_awaited = true);
        }
        match what {
            // It forgets the request, after it may have asked for its body.
            0 => {
                if self.once_in(2) {
                    self.take_body(id);
                }
            }
            1..=5 => {
                self.take_body(id);
                self.go_on(id);
            }
            6..=8 => {}
            9..=13 => self.answer_whole(id),
            _ => {
                for _ in 0..=self.below(4) {
                    self.go_on(id);
                }
            }
        }
    }

    fn change_pending(&self, id: Id, change: impl FnOnce(&mut Pending)) {
        if let Some(pending) = self.model().of(id).and_then(Connection::pending) {
            change(pending);
        }
    }

    fn with_pending<R>(&self, id: Id, look: impl FnOnce(&Pending) -> R) -> Option<R> {
        self.model().of(id).and_then(Connection::pending).map(|pending| look(pending))
    }

    /// Does the next thing for a request that is not answered.
    pub(crate) fn go_on(&self, id: Id) {
        let Some(style) = self.with_pending(id, |pending| pending.style) else { return };
        if self.is_quiet.get() {
            return self.answer_whole(id);
        }
        match (style, self.below(20)) {
            (_, 0..=2) => self.take_body(id),
            (_, 3) => self.pause_body(id, true),
            (_, 4 | 5) => self.pause_body(id, false),
            (_, 6) if self.once_in(10) => self.abandon(id),
            (_, 7) if self.once_in(10) => self.cut_response(id),
            (_, 8) => self.want_writable(id),
            (Style::Undecided, 9..=12) => self.answer_whole(id),
            (Style::Undecided, 13..=15) | (Style::Pieces, _) => self.write_piece(id),
            (Style::Undecided, _) => {
                let total = self.random().length();
                self.offer_piece(id, total);
            }
            (Style::TryEnd { total }, _) => self.offer_piece(id, total),
        }
    }

    /// Completes a response.
    pub(crate) fn answer_whole(&self, id: Id) {
        let Some((style, paused)) = self.with_pending(id, |pending| (pending.style, pending.is_paused)) else { return };
        if self.is_quiet.get() && paused {
            self.pause_body(id, false);
        }
        match style {
            Style::Undecided if self.once_in(8) => self.end_without_body(id),
            Style::Undecided | Style::Pieces => self.end_with_body(id),
            Style::TryEnd { total } => self.offer_rest(id, total),
        }
    }

    /// Notes that a response begins. Returns the position at which the next byte of its body is.
    fn begin_answer(&self, id: Id, style: Style) -> Option<usize> {
        let marks = self.once_in(2);
        let status = if self.once_in(6) { 404 } else { 200 };
        let mut model = self.model();
        let which = *model.live.get(&id)?;
        let it = &mut model.all[which];
        let pending = it.pending()?;
        if pending.style != Style::Undecided {
            return Some(pending.written);
        }
        pending.style = style;
        let (number, is_bodiless) = (pending.request.number, pending.request.method == "HEAD");
        if marks || status != 200 {
            let to = connection_id(id);
            let mark = format!("{which}-{number}");
            let written = self.reactor.write_status(to, status.to_string().as_bytes());
            if written.and_then(|()| self.reactor.write_header(to, b"Mark", mark.as_bytes())).is_err() {
                pending.must_end = true;
                return None;
            }
        }
        it.answers.push_back(Answer { number, status, is_handlers: true, is_bodiless, written: 0, is_complete: false });
        Some(0)
    }

    /// Returns the next bytes of the body of a response.
    fn body_from(&self, id: Id, start: usize, length: usize) -> Option<Vec<u8>> {
        let mut model = self.model();
        let which = *model.live.get(&id)?;
        Some(model.all[which].pending()?.response(which).bytes(start, length))
    }

    /// Notes how much of a body has been written.
    fn note_written(&self, id: Id, written: usize, is_complete: bool, closes: bool) {
        let mut model = self.model();
        let Some(which) = model.live.get(&id).copied() else { return };
        let it = &mut model.all[which];
        let Some(pending) = it.pending() else { return };
        let closes = closes || pending.request.closes || pending.request.is_old;
        pending.written = written;
        let number = pending.request.number;
        // The client of a response without a body may have seen its end already.
        if let Some(answer) = it.answers.iter_mut().find(|answer| answer.number == number) {
            answer.written = written;
            answer.is_complete = is_complete;
        }
        drop(model);
        if is_complete {
            self.finish_response(id, which, closes);
        }
    }

    fn end_with_body(&self, id: Id) {
        let Some(start) = self.begin_answer(id, Style::Pieces) else { return };
        let length = self.random().length();
        let closes = self.closes();
        let Some(body) = self.body_from(id, start, length) else { return };
        self.causing(|reactor| {
            let result = reactor.respond(connection_id(id), &body, closes);
            self.log(|| format!("  respond {}/{} {length} {closes}: {result:?}", id.0, id.1));
            match result {
                Ok(()) => self.note_written(id, start + length, true, closes),
                Err(error) => self.note_refused(id, error),
            }
        });
    }

    fn end_without_body(&self, id: Id) {
        let Some(start) = self.begin_answer(id, Style::Pieces) else { return };
        let closes = self.closes();
        // Without a length, only the end of the connection would end the body.
        self.causing(|reactor| {
            let result = reactor.respond_without_body(connection_id(id), Some(0), closes);
            self.log(|| format!("  respond without body {}/{} {closes}: {result:?}", id.0, id.1));
            match result {
                Ok(()) => self.note_written(id, start, true, closes),
                Err(error) => self.note_refused(id, error),
            }
        });
    }

    fn closes(&self) -> bool {
        !self.is_quiet.get() && self.once_in(30)
    }

    fn write_piece(&self, id: Id) {
        let Some(start) = self.begin_answer(id, Style::Pieces) else { return };
        let length = self.random().length();
        let Some(piece) = self.body_from(id, start, length) else { return };
        self.causing(|reactor| {
            let result = reactor.write_chunk(connection_id(id), &piece);
            self.log(|| format!("  write {}/{} {length}: {result:?}", id.0, id.1));
            match result {
                Ok(_) => self.note_written(id, start + length, false, false),
                Err(error) => self.note_refused(id, error),
            }
        });
    }

    /// Offers the socket a piece of a body of `total` bytes.
    fn offer_piece(&self, id: Id, total: usize) {
        if self.once_in(2) {
            self.want_writable(id);
        }
        let Some(start) = self.begin_answer(id, Style::TryEnd { total }) else { return };
        let length = if self.once_in(2) { total - start } else { self.below(total - start + 1) };
        self.offer(id, start, length, total);
    }

    fn offer_rest(&self, id: Id, total: usize) {
        self.want_writable(id);
        let Some(start) = self.begin_answer(id, Style::TryEnd { total }) else { return };
        self.offer(id, start, total - start, total);
    }

    fn offer(&self, id: Id, start: usize, length: usize, total: usize) {
        let Some(piece) = self.body_from(id, start, length) else { return };
        self.causing(|reactor| {
            let result = reactor.try_end(connection_id(id), &piece, total as u64, false);
            self.log(|| format!("  try_end {}/{} {start}+{length} of {total}: {result:?}", id.0, id.1));
            match result {
                Ok(TryEnd { is_complete: true, .. }) => self.note_written(id, total, true, false),
                Ok(TryEnd { is_taken, .. }) => {
                    let offset = reactor.write_offset(connection_id(id)).map_or(0, |offset| offset as usize);
                    let end = start + length;
                    ensure!(self, offset >= start && offset <= end, "{start} to {end}, and {offset} have been written");
                    ensure!(self, is_taken == (offset == end), "up to {offset} of {end} was taken: {is_taken}");
                    self.note_written(id, offset, false, false);
                    self.change_pending(id, |pending| pending.is_stalled = !is_taken && pending.wants_writable);
                }
                Err(error) => self.note_refused(id, error),
            }
        });
    }

    /// A response was refused, because the reactor has ended its request. The event for that is about to come.
    fn note_refused(&self, id: Id, error: ResponseError) {
        ensure!(self, error == ResponseError::Complete, "refused: {error}");
        self.change_pending(id, |pending| pending.must_end = true);
    }

    fn take_body(&self, id: Id) {
        let to = connection_id(id);
        let Some(taker) = self.with_pending(id, |pending| pending.taker) else { return };
        let max = self.random().length();
        let (result, wanted) = if self.once_in(2) {
            (self.causing(|reactor| self.claim(id, reactor.receive_body(to), Taker::Pieces { received: 0 })), true)
        } else {
            (self.causing(|reactor| self.claim(id, reactor.collect_body(to, max), Taker::Whole { max })), false)
        };
        let may_be_taken = taker != Taker::Nobody;
        let is_right = match result {
            Ok(()) => !may_be_taken || wanted && matches!(taker, Taker::Pieces { received: 0 }),
            Err(BodyError::Taken) => may_be_taken,
            // It was discarded, or the request has ended.
            Err(BodyError::Stale) => true,
        };
        ensure!(self, is_right, "the body of {id:?} has {taker:?}: {result:?}");
    }

    fn claim(&self, id: Id, result: Result<(), BodyError>, taker: Taker) -> Result<(), BodyError> {
        self.log(|| format!("  take body {}/{} {taker:?}: {result:?}", id.0, id.1));
        self.change_pending(id, |pending| match result {
            Ok(()) => {
                pending.taker = taker;
                pending.is_attached = true;
            }
            Err(BodyError::Taken) => pending.is_attached = true,
            Err(BodyError::Stale) => pending.is_discarded = true,
        });
        result
    }

    fn pause_body(&self, id: Id, pauses: bool) {
        self.causing(|reactor| {
            let to = connection_id(id);
            let result = if pauses { reactor.pause_body(to) } else { reactor.resume_body(to) };
            self.log(|| format!("  pause body {}/{} {pauses}: {result:?}", id.0, id.1));
            self.change_pending(id, |pending| match result {
                Ok(()) => pending.is_paused = pauses,
                Err(_) => pending.must_end = true,
            });
        });
    }

    fn want_writable(&self, id: Id) {
        let result = self.reactor.want_writable(connection_id(id));
        self.change_pending(id, |pending| match result {
            Ok(()) => {
                pending.wants_writable = true;
                pending.is_attached = true;
            }
            Err(_) => pending.must_end = true,
        });
    }

    /// Gives up a response.
    fn abandon(&self, id: Id) {
        self.note_given_up(id, Reason::InOrder);
        self.log(|| format!("  abandon {}/{}", id.0, id.1));
        self.causing(|reactor| reactor.abandon_response(connection_id(id)));
        self.forget_unheard(id);
    }

    /// Cuts a connection in the middle of its response.
    fn cut_response(&self, id: Id) {
        self.note_given_up(id, Reason::Cut);
        self.log(|| format!("  cut {}/{}", id.0, id.1));
        let _ = self.causing(|reactor| reactor.close_response(connection_id(id)));
        self.forget_unheard(id);
    }

    fn note_given_up(&self, id: Id, reason: Reason) {
        let now = self.now();
        if let Some(it) = self.model().of(id) {
            it.may_end(reason, now);
            if let Some(pending) = it.pending() {
                pending.must_end = true;
                if pending.style == Style::Undecided && reason == Reason::InOrder {
                    let (number, is_bodiless) = (pending.request.number, pending.request.method == "HEAD");
                    it.answers.push_back(Answer::by_server(number, 500, is_bodiless));
                }
            }
        }
    }

    /// A request has ended without an event.
    fn forget_unheard(&self, id: Id) {
        let now = self.now();
        let mut model = self.model();
        let Some(it) = model.of(id) else { return };
        if it.pending().is_some_and(|pending| !pending.is_heard()) {
            it.phase = crate::model::Phase::Ending;
            it.since = now;
            model.end_id(id);
        }
    }

    /// Answers what is left, so that everything comes to rest.
    pub(crate) fn answer_all(&self) {
        let awaited = self.model().awaited();
        for id in awaited {
            let upgrade = self.with_pending(id, |pending| match pending.request.route {
                Route::Upgrade(kind) => Some((kind, pending.request.deflates)),
                _ => None,
            });
            match upgrade.flatten() {
                Some((kind, deflates)) if self.once_in(2) && self.may_upgrade(id) => {
                    let behavior = self.behaviors[kind].0;
                    let extensions = if deflates { OFFER } else { "" };
                    self.upgrade(connection_id(id), behavior, kind, KEY.as_bytes(), extensions.as_bytes());
                }
                _ => self.answer_whole(id),
            }
        }
    }

    fn may_upgrade(&self, id: Id) -> bool {
        self.with_pending(id, |pending| pending.style == Style::Undecided && !pending.must_end).unwrap_or_default()
    }
}
