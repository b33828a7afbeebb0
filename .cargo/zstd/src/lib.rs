//! In place of Zstandard, for the reason that `.cargo/brotli` gives. What is here has the names that
//! the engine asks for, and refuses.

/// Streams.
pub mod stream {
    /// Streams that are written to.
    pub mod write {
        use std::io::{self, Write};
        use std::marker::PhantomData;

        fn refused<T>() -> io::Result<T> {
            Err(io::Error::new(io::ErrorKind::Unsupported, "Zstandard is not built in"))
        }

        /// Compresses nothing.
        #[derive(Debug)]
        pub struct Encoder<'a, W: Write>(W, PhantomData<&'a ()>);

        impl<W: Write> Encoder<'_, W> {
            /// Refuses whatever is written.
            pub fn new(inner: W, _: i32) -> io::Result<Self> {
                Ok(Self(inner, PhantomData))
            }

            /// Refuses at once.
            pub fn with_dictionary(_: W, _: i32, _: &[u8]) -> io::Result<Self> {
                refused()
            }

            /// Refuses.
            pub fn do_finish(&mut self) -> io::Result<()> {
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

        impl<W: Write> Write for Encoder<'_, W> {
            fn write(&mut self, _: &[u8]) -> io::Result<usize> {
                refused()
            }

            fn flush(&mut self) -> io::Result<()> {
                self.0.flush()
            }
        }
    }
}
