//! What the measurements start: something that writes, something that reads, and a tree.
//!
//! One small program, because ten thousand copies of it live at once.

#![forbid(unsafe_code)]

mod stream;
mod tree;

use std::env;
use std::io;
use std::process::ExitCode;

fn main() -> ExitCode {
    let arguments: Vec<String> = env::args().skip(1).collect();
    let words: Vec<&str> = arguments.iter().map(String::as_str).collect();
    match dispatch(&words) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("bench-load: {}: {error}", arguments.join(" "));
            ExitCode::FAILURE
        }
    }
}

fn dispatch(words: &[&str]) -> io::Result<()> {
    match words {
        ["produce", bytes, block] => stream::produce(number(bytes)?, number(block)? as usize),
        ["drain", bytes] => stream::drain(number(bytes)?),
        ["arrive", fifo] => stream::arrive(fifo),
        ["tree", ready, size] => tree::node(ready, number(size)?, 0),
        ["node", ready, size, index] => tree::node(ready, number(size)?, number(index)?),
        ["hop", ready, size, index] => tree::hop(ready, number(size)?, number(index)?),
        _ => Err(io::Error::other(
            "not one of: produce BYTES BLOCK | drain BYTES | arrive FIFO | tree READY SIZE",
        )),
    }
}

fn number(word: &str) -> io::Result<u64> {
    word.parse()
        .map_err(|_| io::Error::other(format!("`{word}` is not a number")))
}
