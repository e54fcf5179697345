//! What kind of run a seed makes: how many clients, how they behave, how the network does.

use milliways_net::WebSocketSettings;
use milliways_proto::ws::DeflateSettings;

use crate::random::Random;

#[expect(clippy::struct_excessive_bools, reason = "each is a property of its own")]
#[derive(Debug)]
pub(crate) struct Plan {
    /// The number of steps before everything ends.
    pub(crate) steps: usize,
    /// The greatest number of clients at once.
    pub(crate) clients: usize,
    /// How many of ten clients open WebSockets.
    pub(crate) websockets: usize,
    /// How many of ten clients do as they should to the end.
    pub(crate) faithful: usize,
    /// Whether sockets stall.
    pub(crate) stalls: bool,
    /// Whether the system fails in some ways.
    pub(crate) faults: bool,
    /// The number of operations that a handler performs in an event, at most.
    pub(crate) acts: usize,
    /// Whether handlers run the event loop.
    pub(crate) nests: bool,
    /// Whether bytes arrive as they were written, not in pieces.
    pub(crate) is_smooth: bool,
    /// Whether resets destroy what is under way.
    pub(crate) loses: bool,
    /// Whether other threads send commands.
    pub(crate) is_remote: bool,
    /// Seconds.
    pub(crate) idle_timeout: u32,
    /// The settings of the WebSocket routes, and whether their requests are decided by a handler.
    pub(crate) behaviors: Vec<(WebSocketSettings, bool)>,
    pub(crate) is_secure: bool,
    /// Whether clients come by a proxy, which names them.
    pub(crate) is_proxied: bool,
    /// Whether panics are provoked.
    pub(crate) panics: bool,
}

impl Plan {
    pub(crate) fn new(random: &mut Random) -> Self {
        let base = WebSocketSettings { max_payload: 100_000, idle_timeout: 16, ..WebSocketSettings::default() };
        let behaviors = vec![
            (base, false),
            (WebSocketSettings { max_backpressure: random.pick(&[1_000, 20_000]), idle_timeout: 8, ..base }, true),
            (
                WebSocketSettings {
                    max_backpressure: 5_000,
                    close_on_backpressure_limit: true,
                    send_pings: false,
                    idle_timeout: 32,
                    ..base
                },
                false,
            ),
            (
                WebSocketSettings {
                    max_backpressure: 0,
                    max_payload: 1_000,
                    max_lifetime: 1,
                    idle_timeout: 0,
                    tells_subscriptions: false,
                    ..base
                },
                random.once_in(2),
            ),
            (
                WebSocketSettings {
                    deflate: Some(DeflateSettings {
                        compressor: random.pick(&[None, Some(15), Some(9)]),
                        decompressor: random.pick(&[None, Some(15), Some(10)]),
                    }),
                    compression_threshold: random.pick(&[0, 100]),
                    max_backpressure: 30_000,
                    ..base
                },
                false,
            ),
        ];
        Self {
            steps: random.pick(&[300, 1_000, 2_000, 4_000]),
            clients: random.pick(&[2, 5, 12, 25]),
            websockets: random.pick(&[0, 3, 5, 7, 10]),
            faithful: random.pick(&[2, 6, 9, 10]),
            stalls: !random.once_in(3),
            faults: random.once_in(2),
            acts: random.pick(&[0, 1, 3]),
            nests: random.once_in(3),
            is_smooth: random.once_in(4),
            loses: random.once_in(2),
            is_remote: random.once_in(3),
            idle_timeout: random.pick(&[10, 10, 20]),
            behaviors,
            is_secure: random.once_in(5),
            is_proxied: random.once_in(6),
            panics: random.once_in(8),
        }
    }
}
