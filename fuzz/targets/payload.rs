//! Bytes as bodies: what is written is read again, what is read is bounded, and two readers of a batch's output agree.

#![no_main]

use bytes::Bytes;
use classify::domain::answer::{Answer, Answers};
use classify::domain::batch::{BatchRequest, BatchResponse};
use classify::domain::outcome::Outcome;
use classify::domain::{page, payload};
use classify_fuzz::memory;
use libfuzzer_sys::fuzz_target;
use serde::{Serialize, de::DeserializeOwned};
use serde_json::Value;

/// How a compressed body begins.
const MAGIC: [u8; 4] = [0x28, 0xb5, 0x2f, 0xfd];

fuzz_target!(|bytes: &[u8]| {
    // A body may unfold to so much, whatever it says of itself.
    let most = 4 * payload::LARGEST + 256 * bytes.len() + 64 * 1024;
    memory::within(most, || {
        if !bytes.starts_with(&MAGIC) {
            let packed = payload::pack(bytes);
            if bytes.len() <= payload::LARGEST {
                assert_eq!(payload::unpack(&packed).expect("what was packed is unpacked"), bytes);
            }
        }
        if let Ok(text) = payload::unpack(bytes) {
            assert!(bytes.len() > payload::LARGEST || text.len() <= payload::LARGEST);
        }
        comes_back::<BatchRequest>(bytes);
        comes_back::<BatchResponse>(bytes);
        if let Ok(text) = payload::text(bytes) {
            readers_agree(&text);
        }
        pages(bytes);
    });
});

fn comes_back<T: Serialize + DeserializeOwned + PartialEq + std::fmt::Debug>(bytes: &[u8]) {
    let Ok(value) = payload::decode::<T>(bytes) else { return };
    let body = payload::encode(&value).expect("what was read is written");
    assert_eq!(payload::decode::<T>(&body).expect("what was written is read"), value);
}

/// The service's type and the client's, which borrows.
fn readers_agree(text: &str) {
    let (owned, borrowed) =
        (serde_json::from_str::<BatchResponse>(text), serde_json::from_str::<Answers<'_>>(text));
    let (owned, borrowed) = match (owned, borrowed) {
        (Ok(owned), Ok(borrowed)) => (owned, borrowed),
        (Err(_), Err(_)) => return,
        (owned, borrowed) => panic!("one reads it, one does not: {owned:?} {borrowed:?}"),
    };
    assert_eq!(owned.outcomes.len(), borrowed.outcomes.len());
    for (owned, borrowed) in owned.outcomes.iter().zip(&borrowed.outcomes) {
        match (owned, borrowed) {
            (Outcome::Failed(owned), Answer::Failed(borrowed)) => assert_eq!(owned, borrowed),
            (Outcome::Classified(owned), Answer::Classified(borrowed)) => {
                assert_eq!(shown(&owned.labels), shown(&borrowed.labels));
                assert_eq!(owned.confidence.to_bits(), borrowed.confidence.to_bits());
                assert_eq!(owned.reasoning.as_deref(), borrowed.reasoning.as_ref().map(|text| text.as_str()));
                assert_eq!(owned.model.as_deref(), borrowed.model.as_ref().map(|text| text.as_str()));
                assert_eq!(owned.provider, borrowed.provider.as_str());
                assert_eq!(owned.taxonomy, borrowed.taxonomy.as_str());
                assert_eq!(owned.classified_at, borrowed.classified_at.as_str());
                assert_eq!(owned.origin, borrowed.origin.as_str());
                assert_eq!((owned.usage, owned.spared), (borrowed.usage, borrowed.spared));
                // It becomes a line of results, and columns.
                let line = serde_json::to_string(&borrowed.labels).expect("labels are JSON");
                assert!(!line.contains(['\n', '\r']), "{line}");
                if let Ok(fields) = borrowed.labels.fields() {
                    assert_eq!(
                        serde_json::from_str::<Value>(&line).expect("labels are JSON"),
                        Value::Object(fields)
                    );
                }
            }
            _ => panic!("one has labels, one does not"),
        }
    }
}

/// Labels as text.
fn shown(labels: &impl Serialize) -> String {
    serde_json::to_string(labels).expect("labels are JSON")
}

fn pages(bytes: &[u8]) {
    let Some(batches) = page::read_page(Bytes::copy_from_slice(bytes)) else { return };
    let mut writer =
        page::PageWriter::new(u64::from_be_bytes(bytes[..8].try_into().expect("it has an index")));
    batches.iter().for_each(|(_, body)| writer.push(body));
    assert_eq!(writer.finish(), bytes);
}
