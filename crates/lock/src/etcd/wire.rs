//! The JSON of etcd's gateway: what is asked and answered, as types.
//!
//! The mapping is that of Protocol Buffers: 64-bit numbers are strings, bytes are base64, and
//! what has its default value is left out. Numbers are also understood as numbers, and what is
//! null as left out.

use std::fmt;

use data_encoding::{BASE64, BASE64_NOPAD};
use serde::de::{self, Deserializer, Visitor};
use serde::{Deserialize, Serialize, Serializer};

use super::error::{Failure, Trouble};
use super::refusal::{Said, words};

/// Bytes, as base64.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(super) struct Bytes(pub(super) Vec<u8>);

impl Serialize for Bytes {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(&BASE64.encode_display(&self.0))
    }
}

impl<'de> Deserialize<'de> for Bytes {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Text;
        impl Visitor<'_> for Text {
            type Value = Bytes;
            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("base64")
            }
            fn visit_str<E: de::Error>(self, text: &str) -> Result<Bytes, E> {
                let text = text.trim_end_matches('=').as_bytes();
                // Not the text itself: it may be anybody's secret.
                let bytes = BASE64_NOPAD.decode(text).map_err(E::custom)?;
                Ok(Bytes(bytes))
            }
        }
        deserializer.deserialize_str(Text)
    }
}

/// A 64-bit number that is a string.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(super) struct Number(pub(super) i64);

impl Number {
    /// A revision, or a count, of which none is negative.
    pub(super) fn unsigned(self) -> u64 {
        self.0.try_into().unwrap_or(0)
    }

    /// The same the other way round; what is beyond every revision stays so.
    pub(super) fn of(number: u64) -> Self {
        Self(number.try_into().unwrap_or(i64::MAX))
    }
}

impl Serialize for Number {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(&self.0)
    }
}

impl<'de> Deserialize<'de> for Number {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Digits;
        impl Visitor<'_> for Digits {
            type Value = Number;
            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("a 64-bit number")
            }
            fn visit_str<E: de::Error>(self, text: &str) -> Result<Number, E> {
                text.parse().map(Number).map_err(E::custom)
            }
            fn visit_i64<E: de::Error>(self, number: i64) -> Result<Number, E> {
                Ok(Number(number))
            }
            fn visit_u64<E: de::Error>(self, number: u64) -> Result<Number, E> {
                number.try_into().map(Number).map_err(E::custom)
            }
        }
        deserializer.deserialize_any(Digits)
    }
}

/// What is left out, or null, has its default value.
fn or_default<'de, D, T>(deserializer: D) -> Result<T, D::Error>
where
    D: Deserializer<'de>,
    T: Default + Deserialize<'de>,
{
    Ok(Option::deserialize(deserializer)?.unwrap_or_default())
}

/// `ResponseHeader`.
#[derive(Debug, Default, Deserialize)]
#[serde(default)]
pub(super) struct Header {
    #[serde(deserialize_with = "or_default")]
    pub(super) revision: Number,
}

/// `mvccpb.KeyValue`.
#[derive(Debug, Default, Deserialize)]
#[serde(default)]
pub(super) struct Pair {
    #[serde(deserialize_with = "or_default")]
    pub(super) key: Bytes,
    #[serde(deserialize_with = "or_default")]
    pub(super) value: Bytes,
    #[serde(deserialize_with = "or_default")]
    pub(super) create_revision: Number,
    #[serde(deserialize_with = "or_default")]
    pub(super) mod_revision: Number,
    #[serde(deserialize_with = "or_default")]
    pub(super) version: Number,
    #[serde(deserialize_with = "or_default")]
    pub(super) lease: Number,
}

/// `RangeRequest`.
#[derive(Debug, Default, Serialize)]
pub(super) struct RangeRequest {
    pub(super) key: Bytes,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) range_end: Option<Bytes>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) limit: Option<Number>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) revision: Option<Number>,
    #[serde(skip_serializing_if = "is_false")]
    pub(super) serializable: bool,
    #[serde(skip_serializing_if = "is_false")]
    pub(super) count_only: bool,
}

#[expect(clippy::trivially_copy_pass_by_ref, reason = "serde calls it so")]
fn is_false(flag: &bool) -> bool {
    !flag
}

/// `RangeResponse`.
#[derive(Debug, Default, Deserialize)]
#[serde(default)]
pub(super) struct RangeResponse {
    #[serde(deserialize_with = "or_default")]
    pub(super) header: Header,
    #[serde(deserialize_with = "or_default")]
    pub(super) kvs: Vec<Pair>,
    #[serde(deserialize_with = "or_default")]
    pub(super) more: bool,
}

/// `PutRequest`.
#[derive(Debug, Serialize)]
pub(super) struct PutRequest {
    pub(super) key: Bytes,
    pub(super) value: Bytes,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) lease: Option<Number>,
}

/// `DeleteRangeRequest`.
#[derive(Debug, Serialize)]
pub(super) struct DeleteRequest {
    pub(super) key: Bytes,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) range_end: Option<Bytes>,
}

/// `DeleteRangeResponse`.
#[derive(Debug, Default, Deserialize)]
#[serde(default)]
pub(super) struct DeleteResponse {
    #[serde(deserialize_with = "or_default")]
    pub(super) deleted: Number,
}

/// `Compare`.
#[derive(Debug, Default, Serialize)]
pub(super) struct CompareRequest {
    pub(super) key: Bytes,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) range_end: Option<Bytes>,
    pub(super) result: &'static str,
    pub(super) target: &'static str,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) create_revision: Option<Number>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) mod_revision: Option<Number>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) version: Option<Number>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) value: Option<Bytes>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) lease: Option<Number>,
}

/// `RequestOp`.
#[derive(Debug, Serialize)]
pub(super) enum OpRequest {
    #[serde(rename = "request_range")]
    Range(RangeRequest),
    #[serde(rename = "request_put")]
    Put(PutRequest),
    #[serde(rename = "request_delete_range")]
    Delete(DeleteRequest),
}

/// `ResponseOp`.
#[derive(Debug, Default, Deserialize)]
#[serde(default)]
pub(super) struct OpResponse {
    #[serde(alias = "responseRange")]
    pub(super) response_range: Option<RangeResponse>,
    #[serde(alias = "responseDeleteRange")]
    pub(super) response_delete_range: Option<DeleteResponse>,
}

/// `TxnRequest`.
#[derive(Debug, Serialize)]
pub(super) struct TxnRequest {
    pub(super) compare: Vec<CompareRequest>,
    pub(super) success: Vec<OpRequest>,
    pub(super) failure: Vec<OpRequest>,
}

/// `TxnResponse`.
#[derive(Debug, Default, Deserialize)]
#[serde(default)]
pub(super) struct TxnResponse {
    #[serde(deserialize_with = "or_default")]
    pub(super) header: Header,
    #[serde(deserialize_with = "or_default")]
    pub(super) succeeded: bool,
    #[serde(deserialize_with = "or_default")]
    pub(super) responses: Vec<OpResponse>,
}

/// `LeaseGrantRequest`; the cluster chooses the id.
#[derive(Debug, Serialize)]
pub(super) struct GrantRequest {
    #[serde(rename = "TTL")]
    pub(super) ttl: Number,
}

/// `LeaseKeepAliveRequest` and `LeaseRevokeRequest`.
#[derive(Debug, Serialize)]
pub(super) struct LeaseRequest {
    #[serde(rename = "ID")]
    pub(super) id: Number,
}

/// `LeaseGrantResponse` and `LeaseKeepAliveResponse`; times are in seconds.
#[derive(Debug, Default, Deserialize)]
#[serde(default)]
pub(super) struct LeaseResponse {
    #[serde(rename = "ID", deserialize_with = "or_default")]
    pub(super) id: Number,
    #[serde(rename = "TTL", deserialize_with = "or_default")]
    pub(super) ttl: Number,
}

/// Of an answer in which nothing matters but that it came.
#[derive(Debug, Default, Deserialize)]
pub(super) struct Done {}

/// `AuthenticateRequest`.
#[derive(Serialize)]
pub(super) struct AuthenticateRequest<'a> {
    pub(super) name: &'a str,
    pub(super) password: &'a str,
}

/// `AuthenticateResponse`.
#[derive(Default, Deserialize)]
#[serde(default)]
pub(super) struct AuthenticateResponse {
    #[serde(deserialize_with = "or_default")]
    pub(super) token: String,
}

/// `WatchRequest`.
#[derive(Debug, Serialize)]
pub(super) struct WatchRequest {
    pub(super) create_request: WatchCreate,
}

/// `WatchCreateRequest`.
#[derive(Debug, Serialize)]
pub(super) struct WatchCreate {
    pub(super) key: Bytes,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) range_end: Option<Bytes>,
    pub(super) start_revision: Number,
    pub(super) progress_notify: bool,
    pub(super) fragment: bool,
}

/// `WatchResponse`.
#[derive(Debug, Default, Deserialize)]
#[serde(default)]
pub(super) struct WatchResponse {
    #[serde(deserialize_with = "or_default")]
    pub(super) header: Header,
    #[serde(deserialize_with = "or_default")]
    pub(super) created: bool,
    #[serde(deserialize_with = "or_default")]
    pub(super) canceled: bool,
    #[serde(deserialize_with = "or_default")]
    pub(super) compact_revision: Number,
    #[serde(deserialize_with = "or_default")]
    pub(super) cancel_reason: String,
    #[serde(deserialize_with = "or_default")]
    pub(super) fragment: bool,
    #[serde(deserialize_with = "or_default")]
    pub(super) events: Vec<EventPair>,
}

/// `mvccpb.Event`.
#[derive(Debug, Default, Deserialize)]
#[serde(default)]
pub(super) struct EventPair {
    #[serde(rename = "type", deserialize_with = "or_default")]
    pub(super) kind: EventKind,
    #[serde(deserialize_with = "or_default")]
    pub(super) kv: Pair,
}

/// `mvccpb.Event.EventType`.
#[derive(Debug, Default, Deserialize)]
pub(super) enum EventKind {
    #[default]
    #[serde(rename = "PUT")]
    Put,
    #[serde(rename = "DELETE")]
    Delete,
}

/// One of a stream of answers.
#[derive(Debug, Deserialize)]
#[serde(rename_all = "lowercase")]
pub(super) enum Streamed<T> {
    /// It is this.
    Result(T),
    /// The stream is at its end.
    Error(Said),
}

/// Reads an answer that is JSON.
pub(super) fn read<'a, T: Deserialize<'a>>(text: &'a [u8]) -> Result<T, Trouble> {
    serde_json::from_slice(text)
        .map_err(|error| Trouble::Member(Failure::Foreign(words(&error.to_string()))))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_and_bytes() {
        let pair: Pair = serde_json::from_str(
            r#"{"key":"AP8=","value":"/w","mod_revision":"9223372036854775807","version":7,
               "lease":"-3","create_revision":null,"more":1}"#,
        )
        .expect("a pair");
        assert_eq!(pair.key.0, [0, 255]);
        assert_eq!(pair.value.0, [255]);
        assert_eq!(pair.mod_revision.unsigned(), i64::MAX as u64);
        assert_eq!(pair.version.0, 7);
        assert_eq!(pair.lease.0, -3);
        assert_eq!(pair.create_revision.0, 0);
        for bad in [r#"{"key":"!"}"#, r#"{"version":"x"}"#, r#"{"version":1.5}"#] {
            let error = serde_json::from_str::<Pair>(bad);
            assert!(error.is_err(), "{bad}");
        }
        let request = PutRequest {
            key: Bytes(vec![0, 255]),
            value: Bytes(Vec::new()),
            lease: Some(Number(5)),
        };
        assert_eq!(
            serde_json::to_string(&request).expect("text"),
            r#"{"key":"AP8=","value":"","lease":"5"}"#
        );
    }
}
