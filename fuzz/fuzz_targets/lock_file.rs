//! Files of locks as they may be found: torn, of another version, or with anything in them that has a right
//! checksum. Nothing of it makes a panic, and who asks is answered.

#![no_main]

use std::fs::File;
use std::os::unix::fs::FileExt as _;
use std::path::PathBuf;
use std::sync::LazyLock;

use libfuzzer_sys::fuzz_target;
use ward_lock::{Directory, Patience, Request, Wanted};
use ward_model::lock::Mode;

#[expect(dead_code, reason = "of the room, only a part is looked at")]
#[path = "../../crates/lock/src/image.rs"]
mod image;

/// Where the file has its copies, its history, and its texts.
const COPIES: [u64; 2] = [4 << 10, 512 << 10];
const HISTORY: u64 = 1 << 20;
const TEXTS: u64 = HISTORY + 128 * 1024;
const ROOM: u64 = 4096;
/// Of a copy, bytes: before the checksum's end, before the entries, and an entry.
const HEAD: usize = 32;
const HEADER: usize = 160;
const ENTRY: usize = 112;

/// In memory: nothing of it goes to a disk.
static PLACE: LazyLock<PathBuf> = LazyLock::new(|| {
    let place = PathBuf::from(format!("/dev/shm/ward-fuzz-{}", std::process::id()));
    std::fs::create_dir_all(&place).expect("a directory");
    place
});

fn copy(generation: u64, content: &[u8], is_whole: bool) -> Vec<u8> {
    let entries = content.len().saturating_sub(HEADER - HEAD) / ENTRY;
    let length = HEADER + entries.min(8) * ENTRY;
    let mut bytes = b"wardlk3\n".to_vec();
    bytes.extend_from_slice(&generation.to_le_bytes());
    bytes.extend_from_slice(&(length as u64).to_le_bytes());
    let mut content = content.to_vec();
    content.resize(length - HEAD, 0);
    // The boot that nobody knows is taken for this one.
    content[..16].fill(0);
    let sum = image::checksum(generation, &content) ^ u64::from(!is_whole);
    bytes.extend_from_slice(&sum.to_le_bytes());
    bytes.extend_from_slice(&content);
    bytes
}

/// A text is one that its ticket's checksum is right for.
fn text(ticket: u64, content: &[u8]) -> Vec<u8> {
    let mut bytes = (content.len() as u64).to_le_bytes().to_vec();
    bytes.extend_from_slice(&image::checksum(ticket, content).to_le_bytes());
    bytes.extend_from_slice(content);
    bytes
}

fuzz_target!(|input: (u64, [bool; 2], &[u8], &[u8], &[u8], u8)| {
    let (generation, whole, queue, written, past, ask) = input;
    let path = PLACE.join("it");
    let _ = std::fs::remove_file(&path);
    let file = File::create_new(&path).expect("a file");
    let put = |bytes: &[u8], at: u64| file.write_all_at(bytes, at).expect("written");
    put(&[0; 4096], 0);
    let written = &written[..written.len().min(4000)];
    for (number, (at, is_whole)) in COPIES.into_iter().zip(whole).enumerate() {
        let generation = generation.saturating_sub(number as u64);
        put(&copy(generation, queue, is_whole), at);
    }
    for entry in queue
        .get(HEADER - HEAD..)
        .unwrap_or_default()
        .chunks_exact(ENTRY)
        .take(8)
    {
        let ticket = u64::from_le_bytes(entry[..8].try_into().expect("eight"));
        let slot = u32::from_le_bytes(entry[16..20].try_into().expect("four"));
        put(&text(ticket, written), TEXTS + u64::from(slot % 64) * ROOM);
    }
    put(&past[..past.len().min(1024)], HISTORY);

    let locks = Directory::open(Some(&PLACE)).expect("a directory");
    let _ = locks.list();
    let _ = locks.show("it");
    let _ = locks.history("it");
    let request = match ask % 3 {
        0 => Request::exclusive("it"),
        1 => Request::exclusive("it/below"),
        _ => Wanted::new("it").map(|it| Request::new(vec![it.mode(Mode::PR)])),
    };
    if let Ok(request) = request
        && let Ok(held) = locks.acquire(&request, Patience::None, None)
    {
        let _ = locks.list();
        assert_eq!(held.len(), 1);
    }
    let _ = locks.list();
});
