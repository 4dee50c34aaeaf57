//! The files of a run: whatever stands in them, memory is bounded by their size and counts reconcile; a journal that is cut anywhere says
//! what its beginning says; and damage before its last line is told.

#![no_main]

use arbitrary::{Result, Unstructured};
use classify::fuzzing::ledger;
use classify::ledger::{Changes, Line, Spec};
use classify_fuzz::journal::{Known, line_of, read, written};
use classify_fuzz::memory;
use libfuzzer_sys::fuzz_target;

fuzz_target!(|bytes: &[u8]| {
    let Some((&first, rest)) = bytes.split_first() else { return };
    match first {
        b'{' => spec(bytes),
        b'#' => rows(rest),
        b'=' => drop(read(rest)),
        _ => drop(story(&mut Unstructured::new(bytes))),
    }
});

fn spec(text: &[u8]) {
    memory::within(64 * 1024 + 64 * text.len(), || {
        let Ok(spec) = ledger::spec(text) else { return };
        assert!(spec.indicators() <= u64::from(u32::MAX));
        let _counts = spec.counts();
        let written = serde_json::to_vec(&spec).expect("a spec is JSON");
        assert_eq!(ledger::spec(&written).expect("it is read again"), Spec { ..spec });
    });
}

fn rows(bytes: &[u8]) {
    let (before, now) = bytes.split_at(bytes.len() / 32 * 16);
    let rows = |bytes: &[u8]| {
        let rows = ledger::rows(bytes);
        assert_eq!(rows.is_ok(), bytes.len().is_multiple_of(16), "a row that is cut off");
        rows.unwrap_or_default()
    };
    let (before, now) = (rows(before), rows(now));
    let (old, new) = (before.len() as u64, now.len() as u64);
    let Changes { added, removed, changed } = ledger::changes(before.clone(), now.clone());
    assert!(added <= new && removed <= old && changed <= new.min(old));
    assert_eq!(old - removed, new - added);
    assert_eq!(ledger::changes(before.clone(), before.into_iter().rev().collect()).added, 0);
    assert_eq!(ledger::changes(now.clone(), Vec::new()), Changes { added: 0, removed: new, changed: 0 });
}

/// A whole journal, and what becomes of it.
fn story(u: &mut Unstructured<'_>) -> Result<()> {
    u.arbitrary::<u8>()?;
    let harm = u.int_in_range(0..=4)?;
    let place: u32 = u.arbitrary()?;
    let bit = u.int_in_range(0..=7)?;
    let lines = written(u)?;
    let texts: Vec<Vec<u8>> = lines.iter().map(text).collect();
    let whole = texts.concat();
    let (past, stats) =
        read(&whole).unwrap_or_else(|error| panic!("{error}: {}", String::from_utf8_lossy(&whole)));
    let known = Known::of(&past, &stats);
    assert_eq!(known, Known::after(&lines));
    let place = place as usize;
    match harm {
        0 => {
            let end = place % (whole.len() + 1);
            let left = whole[..end].iter().filter(|byte| **byte == b'\n').count();
            let (past, stats) = read(&whole[..end]).expect("what is cut off is no damage");
            assert_eq!(Known::of(&past, &stats), Known::after(&lines[..left]));
        }
        1 if !whole.is_empty() => flip(&whole, place % whole.len(), bit),
        2 if !texts.is_empty() => {
            // A line that stands there twice changes nothing.
            let mut texts = texts.clone();
            let at = place % texts.len();
            texts.insert(at, texts[at].clone());
            if let Ok((past, stats)) = read(&texts.concat()) {
                assert_eq!(Known::of(&past, &stats), known);
            }
        }
        3 if texts.len() > 1 => {
            let mut texts = texts.clone();
            let at = place % (texts.len() - 1);
            texts.swap(at, at + 1);
            let _sound = read(&texts.concat());
        }
        _ => {}
    }
    Ok(())
}

fn text(line: &Line<'_>) -> Vec<u8> {
    let mut text = serde_json::to_vec(line).expect("a line is JSON");
    text.push(b'\n');
    text
}

/// One bit of the file is another one.
fn flip(whole: &[u8], place: usize, bit: u32) {
    let mut damaged = whole.to_vec();
    damaged[place] ^= 1 << bit;
    let lines: Vec<&[u8]> = damaged.split_inclusive(|byte| *byte == b'\n').collect();
    let here = damaged[..place].iter().filter(|byte| **byte == b'\n').count();
    let is_json = lines.get(here).is_none_or(|line| serde_json::from_slice::<Line<'_>>(line).is_ok());
    match read(&damaged) {
        Ok(_) => assert!(is_json || here + 1 == lines.len(), "line {} of {}", here + 1, lines.len()),
        Err(error) => {
            let named = line_of(&error).expect("it names a line");
            assert!((here as u64 + 1..=lines.len() as u64).contains(&named), "{error}");
        }
    }
}
