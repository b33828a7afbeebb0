//! In place of Brotli. The engine can compress responses; Sidegate does not set that up, for it
//! passes on what services say as they say it. But the engine decides it while it runs, so 1 MB of
//! tables and code would be linked that nothing ever reaches. What is here has the names that the
//! engine asks for, and refuses.

use std::io::{self, Write};

macro_rules! writers {
    ($($(#[$about:meta])* $name:ident($($argument:ty),*);)*) => {$(
        $(#[$about])*
        #[derive(Debug)]
        pub struct $name<W: Write>(W);

        impl<W: Write> $name<W> {
            /// Refuses whatever is written.
            pub fn new(inner: W, $(_: $argument),*) -> Self {
                Self(inner)
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
                Err(io::Error::new(io::ErrorKind::Unsupported, "Brotli is not built in"))
            }

            fn flush(&mut self) -> io::Result<()> {
                self.0.flush()
            }
        }
    )*};
}

writers! {
    /// Compresses nothing.
    CompressorWriter(usize, u32, u32);
    /// Decompresses nothing.
    DecompressorWriter(usize);
}
