//! Tables of causes: enums whose variants have a stable name, so that whoever counts errors can tell them apart.

/// Declares an enum of causes. Each line is a variant, its class, its name, and what is wrong.
///
/// The names are part of the public interface: they occur in statistics. A name never gets another meaning.
macro_rules! causes {
    (
        $(#[$doc:meta])*
        pub enum $causes:ident of $class:ident {
            $($(#[$variant_doc:meta])* $variant:ident $(($data:ty))? = $of:ident, $name:literal, $text:literal;)*
        }
    ) => {
        $(#[$doc])*
        #[derive(Clone, Copy, Debug, PartialEq, Eq)]
        pub enum $causes {
            $(#[doc = concat!("`", $name, "`: ", $text, ".")] $(#[$variant_doc])* $variant $(($data))?,)*
        }

        impl $causes {
            /// The names of all causes. The name of each is at its [index](Self::index).
            pub const NAMES: &'static [&'static str] = &[$($name),*];

            /// Returns the number of this cause, counted from 0 in the order of the variants.
            pub fn index(self) -> usize {
                enum Index {
                    $($variant,)*
                }
                match self {
                    $(Self::$variant { .. } => Index::$variant as usize,)*
                }
            }

            /// Returns the stable name of this cause.
            pub fn name(self) -> &'static str {
                Self::NAMES[self.index()]
            }

            fn class(self) -> $class {
                match self {
                    $(Self::$variant { .. } => $class::$of,)*
                }
            }

            fn text(self) -> &'static str {
                match self {
                    $(Self::$variant { .. } => $text,)*
                }
            }
        }
    };
}

pub(crate) use causes;
