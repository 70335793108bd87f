//! The two ends of a relay.

use std::fs::File;
use std::io::{self, Read, Write};
use std::os::fd::AsFd;

/// A line of output; writes need not end where lines do.
const LINE: usize = 100;

/// Writes `bytes` bytes of lines in writes of `block` bytes, past the standard library's
/// own buffer: the size of each write is what is being measured.
pub(crate) fn produce(bytes: u64, block: usize) -> io::Result<()> {
    let mut out = File::from(io::stdout().as_fd().try_clone_to_owned()?);
    let text: Vec<u8> = (0..block.max(1))
        .map(|at| if at % LINE == LINE - 1 { b'\n' } else { b'x' })
        .collect();
    let mut left = bytes;
    while left > 0 {
        let next = text.len().min(usize::try_from(left).unwrap_or(usize::MAX));
        out.write_all(&text[..next])?;
        left -= next as u64;
    }
    Ok(())
}

/// Says that it runs, by one byte.
pub(crate) fn arrive(fifo: &str) -> io::Result<()> {
    File::options().write(true).open(fifo)?.write_all(b"!")
}

/// Reads to the end and fails unless that was `expected` bytes.
pub(crate) fn drain(expected: u64) -> io::Result<()> {
    let mut input = File::from(io::stdin().as_fd().try_clone_to_owned()?);
    let mut buffer = vec![0; 128 * 1024];
    let mut read = 0;
    loop {
        match input.read(&mut buffer)? {
            0 => break,
            length => read += length as u64,
        }
    }
    if read == expected {
        Ok(())
    } else {
        Err(io::Error::other(format!("{read} bytes came")))
    }
}
