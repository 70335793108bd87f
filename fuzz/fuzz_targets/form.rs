//! Forms: in the part of an URL after `?`, as a body, and in parts (`multipart/form-data`).

#![no_main]

use libfuzzer_sys::fuzz_target;

#[path = "../../crates/serve/src/http"]
mod http {
    mod percent;
    pub(crate) use percent::{Form, decode, encode};
}

#[path = "../../crates/serve/src/builds"]
mod builds {
    mod multipart;

    pub(crate) fn in_parts(content_type: &str, body: &[u8]) -> crate::http::Form {
        multipart::read(content_type, body)
    }
}

use http::{Form, decode, encode};

/// With nothing in it that ends a part.
const BOUNDARY: &str = "0123456789";

fuzz_target!(|input: (&str, &[u8], Vec<&[u8]>)| {
    let (text, body, values) = input;
    assert_eq!(decode(&encode(text)), text);
    assert!(decode(text).len() <= 3 * text.len());
    let form = Form::read(body);
    let coded: Vec<String> = form
        .fields()
        .map(|(name, value)| format!("{}={}", encode(name), encode(value)))
        .collect();
    let again = Form::read(coded.join("&").as_bytes());
    assert!(again.fields().eq(form.fields()));

    let parts = builds::in_parts(text, body);
    assert!(parts.fields().all(|(name, _)| parts.get(name).is_some()));
    let ends = |value: &&&[u8]| {
        !value
            .windows(BOUNDARY.len())
            .any(|it| it == BOUNDARY.as_bytes())
    };
    let values: Vec<&&[u8]> = values.iter().filter(ends).take(20).collect();
    let mut body = Vec::new();
    for value in &values {
        body.extend_from_slice(
            format!("--{BOUNDARY}\r\nContent-Disposition: form-data; name=\"a\"\r\n\r\n")
                .as_bytes(),
        );
        body.extend_from_slice(value);
        body.extend_from_slice(b"\r\n");
    }
    body.extend_from_slice(format!("--{BOUNDARY}--\r\n").as_bytes());
    let parts = builds::in_parts(&format!("multipart/form-data; boundary={BOUNDARY}"), &body);
    let written = values
        .iter()
        .map(|value| String::from_utf8_lossy(value).into_owned());
    assert!(
        parts
            .fields()
            .map(|(_, value)| value.to_owned())
            .eq(written)
    );
});
