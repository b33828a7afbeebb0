//! In place of gzip, for the reason that `.cargo/brotli` gives. What is here has the names that the
//! engine asks for, and refuses.

/// How hard to try.
#[derive(Debug, Clone, Copy)]
pub struct Compression;

impl Compression {
    /// Any level is the same.
    pub fn new(_: u32) -> Self {
        Self
    }
}

/// Streams that are written to.
pub mod write {
    use std::io::{self, Write};

    fn refused<T>() -> io::Result<T> {
        Err(io::Error::new(io::ErrorKind::Unsupported, "gzip is not built in"))
    }

    macro_rules! writers {
        ($($(#[$about:meta])* $name:ident($($argument:ty)?);)*) => {$(
            $(#[$about])*
            #[derive(Debug)]
            pub struct $name<W: Write>(W);

            impl<W: Write> $name<W> {
                /// Refuses whatever is written.
                pub fn new(inner: W $(, _: $argument)?) -> Self {
                    Self(inner)
                }

                /// Refuses.
                pub fn try_finish(&mut self) -> io::Result<()> {
                    refused()
                }

                /// What would be written to.
                pub fn get_ref(&self) -> &W {
                    &self.0
                }

                /// What would be written to.
                pub fn get_mut(&mut self) -> &mut W {
                    &mut self.0
                }
            }

            impl<W: Write> Write for $name<W> {
                fn write(&mut self, _: &[u8]) -> io::Result<usize> {
                    refused()
                }

                fn flush(&mut self) -> io::Result<()> {
                    self.0.flush()
                }
            }
        )*};
    }

    writers! {
        /// Compresses nothing.
        GzEncoder(super::Compression);
        /// Decompresses nothing.
        GzDecoder();
    }
}
