//! Forms that are sent in parts (`multipart/form-data`, RFC 7578), as `curl -F` does.

use crate::http::Form;

/// Parts of a form that are read.
const MAX_PARTS: usize = 1000;

/// The fields of a form; what is broken ends it.
pub(super) fn read(content_type: &str, body: &[u8]) -> Form {
    let boundary = content_type.split(';').find_map(|part| {
        let value = part.trim().strip_prefix("boundary=")?;
        Some(value.trim_matches('"'))
    });
    let Some(boundary) = boundary.filter(|boundary| (1..=200).contains(&boundary.len())) else {
        return Form::default();
    };
    let line = format!("--{boundary}");
    let between = format!("\r\n{line}");
    let mut fields = Vec::new();
    let Some(mut rest) = body.strip_prefix(line.as_bytes()) else {
        return Form::default();
    };
    while fields.len() < MAX_PARTS {
        let Some(part) = rest.strip_prefix(b"\r\n") else {
            break;
        };
        let Some(end) = find(part, between.as_bytes()) else {
            break;
        };
        let (part, after) = part.split_at(end);
        rest = after.get(between.len()..).unwrap_or_default();
        if let Some(field) = field(part) {
            fields.push(field);
        }
    }
    Form::of(fields)
}

/// The name and the content of a part.
fn field(part: &[u8]) -> Option<(String, String)> {
    let end = find(part, b"\r\n\r\n")?;
    let (head, content) = part.split_at(end);
    let head = String::from_utf8_lossy(head);
    let name = head
        .lines()
        .filter(|line| {
            line.to_ascii_lowercase()
                .starts_with("content-disposition:")
        })
        .flat_map(|line| line.split(';'))
        .find_map(|field| {
            let value = field.trim().strip_prefix("name=")?;
            Some(value.trim_matches('"').replace("%22", "\""))
        })?;
    let content = content.get(4..).unwrap_or_default();
    Some((name, String::from_utf8_lossy(content).into_owned()))
}

fn find(hay: &[u8], needle: &[u8]) -> Option<usize> {
    hay.windows(needle.len())
        .position(|window| window == needle)
}

#[cfg(test)]
mod tests {
    use super::read;
    use proptest::prelude::*;

    #[test]
    fn what_curl_sends() {
        let body = b"--X\r\nContent-Disposition: form-data; name=\"A\"\r\n\r\n1\r\n2\r\n--X\r\nContent-Disposition: form-data; name=\"B\"; filename=\"f\"\r\nContent-Type: text/plain\r\n\r\n\r\n--X--\r\n";
        let form = read("multipart/form-data; boundary=X", body);
        assert_eq!(form.get("A"), Some("1\r\n2"));
        assert_eq!(form.get("B"), Some(""));
        let form = read("multipart/form-data", body);
        assert_eq!(form.fields().count(), 0);
    }

    proptest! {
        #[test]
        fn nothing_makes_it_panic(body in "(--X|\r\n|name=|a|;|\"|Content-Disposition:){0,30}") {
            let _ = read("multipart/form-data; boundary=X", body.as_bytes());
        }
    }
}
