//! Files of groups and keys, as GLib reads them: what they say, and on which line.

/// One key of a file.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Entry {
    /// Its line, from 1.
    pub(super) line: usize,
    pub(super) group: String,
    pub(super) key: String,
    /// As it is written, less blanks around it.
    pub(super) value: String,
}

/// What cannot be read, and on which line.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Mistake {
    pub(super) line: usize,
    pub(super) why: String,
}

/// Reads a file, from top to bottom.
pub(super) fn parse(bytes: &[u8]) -> Result<Vec<Entry>, Mistake> {
    let mut entries = Vec::new();
    let mut group: Option<&str> = None;
    for (number, line) in bytes.split(|byte| *byte == b'\n').enumerate() {
        let mistake = |why: &str| Mistake {
            line: number + 1,
            why: why.to_owned(),
        };
        let line = std::str::from_utf8(line).map_err(|_| mistake("this is not UTF-8"))?;
        let line = line.trim();
        if line.is_empty() || line.starts_with('#') {
            continue;
        }
        if let Some(name) = line.strip_prefix('[') {
            let name = name.strip_suffix(']').filter(|name| is_group(name));
            group = Some(name.ok_or_else(|| mistake("a group is written [NAME]"))?);
            continue;
        }
        let Some((key, value)) = line.split_once('=') else {
            return Err(mistake(
                "this is neither [GROUP], KEY=VALUE nor a # comment",
            ));
        };
        let Some(group) = group else {
            return Err(mistake("this key stands before the first [GROUP]"));
        };
        let key = key.trim_end();
        if key.is_empty() {
            return Err(mistake("there is no key before the `=`"));
        }
        entries.push(Entry {
            line: number + 1,
            group: group.to_owned(),
            key: key.to_owned(),
            value: value.trim_start().to_owned(),
        });
    }
    Ok(entries)
}

fn is_group(name: &str) -> bool {
    !name.is_empty() && !name.chars().any(|c| c.is_control() || c == '[' || c == ']')
}

/// The text that a value stands for.
pub(super) fn text(value: &str) -> Result<String, String> {
    let mut text = String::with_capacity(value.len());
    let mut rest = value.chars();
    while let Some(next) = rest.next() {
        if next != '\\' {
            text.push(next);
            continue;
        }
        text.push(match rest.next() {
            Some('s') => ' ',
            Some('n') => '\n',
            Some('t') => '\t',
            Some('r') => '\r',
            Some('\\') => '\\',
            Some(other) => return Err(format!("`\\{other}` means nothing")),
            None => return Err("there is nothing behind the `\\`".to_owned()),
        });
    }
    Ok(text)
}

/// The texts of a list, of which each ends with a semicolon, the last one if it wants to.
pub(super) fn list(value: &str) -> Result<Vec<String>, String> {
    let mut items = Vec::new();
    let mut item = String::new();
    let mut rest = value.chars().peekable();
    while let Some(next) = rest.next() {
        match next {
            ';' => items.push(text(&std::mem::take(&mut item))?),
            '\\' if rest.next_if_eq(&';').is_some() => item.push(';'),
            '\\' => {
                item.push('\\');
                item.extend(rest.next());
            }
            other => item.push(other),
        }
    }
    if !item.is_empty() {
        items.push(text(&item)?);
    }
    Ok(items)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_a_file_says() {
        let file = "# a comment\r\n\n [Resource] \nName = R1 \n\nTimeout=-1\r\n#Create=no\n[Odd group]\nx==y\n[Resource]\nName=R2";
        let entry = |line, group: &str, key: &str, value: &str| Entry {
            line,
            group: group.to_owned(),
            key: key.to_owned(),
            value: value.to_owned(),
        };
        assert_eq!(
            parse(file.as_bytes()).expect("a file"),
            [
                entry(4, "Resource", "Name", "R1"),
                entry(6, "Resource", "Timeout", "-1"),
                entry(9, "Odd group", "x", "=y"),
                entry(11, "Resource", "Name", "R2"),
            ]
        );
        assert_eq!(parse(b""), Ok(Vec::new()));
    }

    #[test]
    fn what_cannot_be_read() {
        for (file, line) in [
            (&b"Name=R"[..], 1),
            (b"[Resource]\nName", 2),
            (b"[Resource]\n\n=R", 3),
            (b"[Resource", 1),
            (b"[]", 1),
            (b"[a]b]", 1),
            (b"[a]\n#ok\nName=\xff", 3),
        ] {
            let mistake = parse(file).expect_err("a mistake");
            assert_eq!(mistake.line, line, "{mistake:?}");
        }
    }

    #[test]
    fn texts_and_lists() {
        assert_eq!(text(r"a\sb\\c\t"), Ok("a b\\c\t".to_owned()));
        assert!(text(r"a\x").is_err() && text(r"a\").is_err());
        assert_eq!(
            list(r"SIGTERM;15;a\;b;c\\;"),
            Ok(["SIGTERM", "15", "a;b", "c\\"].map(str::to_owned).to_vec())
        );
        assert_eq!(list(""), Ok(Vec::new()));
        assert_eq!(list("one"), Ok(vec!["one".to_owned()]));
    }
}
