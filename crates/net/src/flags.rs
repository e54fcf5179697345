//! Sets of facts, one bit each. Every query names a single fact, so no mask can mean "any of these" by accident.

/// Declares an enum of facts and the set of them.
macro_rules! flags {
    (
        $(#[$set_doc:meta])*
        pub(crate) struct $set:ident($bits:ty) of $flag:ident {
            $($(#[$doc:meta])* $name:ident,)*
        }
    ) => {
        $(#[$set_doc])*
        #[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
        pub(crate) struct $set($bits);

        #[derive(Clone, Copy, Debug, PartialEq, Eq)]
        pub(crate) enum $flag {
            $($(#[$doc])* $name,)*
        }

        #[allow(dead_code, reason = "not every set needs all of these")]
        impl $set {
            fn bit(flag: $flag) -> $bits {
                1 << flag as $bits
            }

            pub(crate) fn has(self, flag: $flag) -> bool {
                self.0 & Self::bit(flag) != 0
            }

            pub(crate) fn add(&mut self, flag: $flag) {
                self.0 |= Self::bit(flag);
            }

            /// Removes a fact. Returns whether it was set.
            pub(crate) fn take(&mut self, flag: $flag) -> bool {
                let had = self.has(flag);
                self.0 &= !Self::bit(flag);
                had
            }

            pub(crate) fn set(&mut self, flag: $flag, is: bool) {
                if is { self.add(flag) } else { self.0 &= !Self::bit(flag) }
            }

            pub(crate) fn with(mut self, flag: $flag, is: bool) -> Self {
                self.set(flag, is);
                self
            }

            /// Removes all facts except these.
            pub(crate) fn keep(&mut self, flags: &[$flag]) {
                self.0 &= flags.iter().fold(0, |bits, flag| bits | Self::bit(*flag));
            }
        }
    };
}

pub(crate) use flags;
