//! XML-RPC documents: what others send is understood, what is hostile is refused, what is written is read.

use proptest::prelude::*;
use ward_serve::xmlrpc::{
    Call, FaultValue, Limits, ParseError, Value, parse_call, parse_response, write_call,
    write_response,
};

fn call(document: &str) -> Result<Call, ParseError> {
    parse_call(document.as_bytes())
}

fn one(value: &str) -> Result<Value, ParseError> {
    let document = format!(
        "<?xml version='1.0'?><methodCall><methodName>m</methodName><params><param>{value}</param></params></methodCall>"
    );
    let mut params = call(&document)?.params;
    assert_eq!(params.len(), 1, "{value}");
    Ok(params.remove(0))
}

#[test]
fn values_are_read_as_clients_write_them() {
    for (written, expected) in [
        ("<value><int>5</int></value>", Value::Int(5)),
        ("<value><i4> -5\n</i4></value>", Value::Int(-5)),
        (
            "<value><i8>5000000000</i8></value>",
            Value::Int(5_000_000_000),
        ),
        ("<value><int>+7</int></value>", Value::Int(7)),
        (
            "<value><int>99999999999999999999999999</int></value>",
            Value::Int(i64::MAX),
        ),
        (
            "<value><int>-99999999999999999999999999</int></value>",
            Value::Int(i64::MIN),
        ),
        ("<value><boolean>1</boolean></value>", Value::Bool(true)),
        ("<value><boolean>0</boolean></value>", Value::Bool(false)),
        (
            "<value><double>-1.5e3</double></value>",
            Value::Double(-1500.0),
        ),
        ("<value><nil/></value>", Value::Nil),
        ("<value><ex:nil/></value>", Value::Nil),
        ("<value><string/></value>", Value::text("")),
        ("<value/>", Value::text("")),
        ("<value>  bare text </value>", Value::text("  bare text ")),
        ("<value>\n <string>x</string>\n</value>", Value::text("x")),
        (
            "<value><string>a &lt;&amp;&gt;&quot;&apos;&#233;&#xE9; b</string></value>",
            Value::text("a <&>\"'éé b"),
        ),
        (
            "<value><string><![CDATA[<x>&amp;]]> y<!-- note --></string></value>",
            Value::text("<x>&amp; y"),
        ),
        (
            "<value><string>a\r\nb\rc</string></value>",
            Value::text("a\nb\nc"),
        ),
        (
            "<value><base64>\n aGVs\n bG8= </base64></value>",
            Value::Base64(b"hello".to_vec()),
        ),
        (
            "<value><dateTime.iso8601>20250102T03:04:05</dateTime.iso8601></value>",
            Value::DateTime("20250102T03:04:05".into()),
        ),
        (
            "<value><array><data/></array></value>",
            Value::Array(Vec::new()),
        ),
        (
            "<value><array> <data> <value>x</value> <value><int>1</int></value> </data> </array></value>",
            Value::Array(vec![Value::text("x"), Value::Int(1)]),
        ),
        ("<value><struct/></value>", Value::Struct(Vec::new())),
        (
            "<value><struct><member><value><int>1</int></value><name>late</name></member></struct></value>",
            Value::members([("late", Value::Int(1))]),
        ),
    ] {
        assert_eq!(one(written).unwrap(), expected, "{written}");
    }
}

#[test]
fn a_call_needs_no_params_and_no_declaration() {
    let expected = Call {
        method: "system.listMethods".into(),
        params: Vec::new(),
    };
    for document in [
        "<methodCall><methodName>system.listMethods</methodName></methodCall>",
        "<methodCall><methodName> system.listMethods\n</methodName><params/></methodCall>",
        "\u{feff}<?xml version=\"1.0\" encoding=\"iso-8859-1\"?>\n<!-- x --><methodCall>\n<params>\n</params>\n<methodName>system.listMethods</methodName></methodCall>\n\n",
    ] {
        assert_eq!(call(document).unwrap(), expected, "{document}");
    }
}

#[test]
fn what_is_no_call_is_refused() {
    for document in [
        "",
        "   ",
        "no xml at all",
        "<methodCall>",
        "<methodCall><methodName>x</methodName>",
        "<methodCall><methodName>x</methodName></other>",
        "<methodCall><methodName>x</methodName></methodCall><more/>",
        "<methodCall><methodName>x</methodName></methodCall>more",
        "<methodResponse><methodName>x</methodName></methodResponse>",
        "<methodCall><methodName><b>x</b></methodName></methodCall>",
        "<methodCall><methodName>x</methodName><methodName>y</methodName></methodCall>",
        "<methodCall><methodName>x</methodName><params><value>1</value></params></methodCall>",
        "<!DOCTYPE x [<!ENTITY a \"b\">]><methodCall><methodName>x</methodName></methodCall>",
        "<!DOCTYPE x SYSTEM \"file:///etc/passwd\"><methodCall><methodName>x</methodName></methodCall>",
    ] {
        assert!(call(document).is_err(), "{document}");
    }
    for value in [
        "<value><int></int></value>",
        "<value><int>1.5</int></value>",
        "<value><int>--1</int></value>",
        "<value><int>0x10</int></value>",
        "<value><boolean>maybe</boolean></value>",
        "<value><double>one</double></value>",
        "<value><base64>!</base64></value>",
        "<value><what>1</what></value>",
        "<value>text<int>1</int></value>",
        "<value><int>1</int>text</value>",
        "<value><int>1</int><int>2</int></value>",
        "<value>&unknown;</value>",
        "<value>&#0;</value>",
        "<value><array><value>1</value></array></value>",
        "<value><struct><member><name>x</name></member></struct></value>",
        "<value><struct><member><value>x</value></member></struct></value>",
        "<value>1</value><value>2</value>",
        "",
    ] {
        assert!(one(value).is_err(), "{value}");
    }
    assert!(matches!(
        call("<methodCall><methodName></methodName></methodCall>"),
        Err(ParseError::NoMethod)
    ));
    assert!(matches!(
        call("<methodCall></methodCall>"),
        Err(ParseError::NoMethod)
    ));
    assert!(matches!(
        parse_call(b"<methodCall><methodName>\xff</methodName></methodCall>"),
        Err(ParseError::NotUtf8(_))
    ));
}

#[test]
fn depth_and_number_are_bounded() {
    let nested = |depth: usize| {
        format!(
            "<value>{}{}</value>",
            "<array><data><value>".repeat(depth),
            "</value></data></array>".repeat(depth)
        )
    };
    assert!(one(&nested(Limits::CALL.depth)).is_ok());
    assert!(matches!(
        one(&nested(Limits::CALL.depth + 1)),
        Err(ParseError::TooDeep(_))
    ));
    assert!(one(&nested(100_000)).is_err());
    let elements = "<a>".repeat(200_000);
    assert!(call(&elements).is_err());

    let many = |count: usize| {
        format!(
            "<value><array><data>{}</data></array></value>",
            "<value/>".repeat(count)
        )
    };
    assert!(one(&many(Limits::CALL.values - 1)).is_ok());
    assert!(matches!(
        one(&many(Limits::CALL.values)),
        Err(ParseError::TooMany(_))
    ));
}

#[test]
fn an_answer_is_written_as_pythons_client_writes_it() {
    let answer = Ok(Value::Array(vec![
        Value::members([("name", Value::text("a<b")), ("pid", Value::Int(1 << 40))]),
        Value::Bool(true),
    ]));
    assert_eq!(
        String::from_utf8(write_response(&answer)).unwrap(),
        "<?xml version='1.0'?>\n<methodResponse>\n<params>\n<param>\n<value><array><data>\n<value><struct>\n<member>\n<name>name</name>\n<value><string>a&lt;b</string></value>\n</member>\n<member>\n<name>pid</name>\n<value><int>2147483647</int></value>\n</member>\n</struct></value>\n<value><boolean>1</boolean></value>\n</data></array></value>\n</param>\n</params>\n</methodResponse>\n"
    );
    let fault = Err(FaultValue {
        code: 10,
        text: "BAD_NAME: x".into(),
    });
    assert_eq!(
        String::from_utf8(write_response(&fault)).unwrap(),
        "<?xml version='1.0'?>\n<methodResponse>\n<fault>\n<value><struct>\n<member>\n<name>faultCode</name>\n<value><int>10</int></value>\n</member>\n<member>\n<name>faultString</name>\n<value><string>BAD_NAME: x</string></value>\n</member>\n</struct></value>\n</fault>\n</methodResponse>\n"
    );
    assert_eq!(parse_response(&write_response(&fault)).unwrap(), fault);
}

#[test]
fn bytes_that_xml_cannot_carry_are_replaced() {
    let log = Value::text_of(b"\x1b[31mred\x00\xff\xc3 caf\xc3\xa9\r\n");
    let answer = write_response(&Ok(log));
    assert_eq!(
        parse_response(&answer).unwrap().unwrap(),
        Value::text("\u{fffd}[31mred\u{fffd}\u{fffd}\u{fffd} café\r\n")
    );
}

#[test]
fn answers_that_are_none_are_refused() {
    for document in [
        "<methodResponse/>",
        "<methodResponse><params/></methodResponse>",
        "<methodResponse><fault><value/></fault></methodResponse>",
        "<methodResponse><params><param><value/></param><param><value/></param></params></methodResponse>",
        "<methodResponse><params><param><value/></param></params><fault/></methodResponse>",
        "<html><body>Not Found</body></html>",
    ] {
        assert!(parse_response(document.as_bytes()).is_err(), "{document}");
    }
}

fn values() -> impl Strategy<Value = Value> {
    let leaf = prop_oneof![
        any::<i64>().prop_map(Value::Int),
        any::<bool>().prop_map(Value::Bool),
        any::<String>().prop_map(Value::Text),
        "\\PC*".prop_map(Value::Text),
        (-1e300..1e300).prop_map(Value::Double),
        Just(Value::Nil),
        any::<Vec<u8>>().prop_map(Value::Base64),
    ];
    leaf.prop_recursive(4, 64, 8, |inner| {
        prop_oneof![
            prop::collection::vec(inner.clone(), 0..8).prop_map(Value::Array),
            prop::collection::vec((any::<String>(), inner), 0..8).prop_map(Value::Struct),
        ]
    })
}

/// What is left of a value after it went over the wire.
fn carried(value: &Value) -> Value {
    let text = |text: &str| {
        text.chars()
            .map(|character| match character {
                '\t' | '\n' | '\r' => character,
                '\0'..='\u{1f}' | '\u{fffe}' | '\u{ffff}' => '\u{fffd}',
                _ => character,
            })
            .collect::<String>()
    };
    match value {
        Value::Int(number) => Value::Int((*number).clamp(i32::MIN.into(), i32::MAX.into())),
        Value::Text(written) => Value::Text(text(written)),
        Value::Array(items) => Value::Array(items.iter().map(carried).collect()),
        Value::Struct(members) => Value::Struct(
            members
                .iter()
                .map(|(name, value)| (text(name), carried(value)))
                .collect(),
        ),
        Value::Bool(_) | Value::Double(_) | Value::Nil | Value::Base64(_) | Value::DateTime(_) => {
            value.clone()
        }
    }
}

proptest! {
    #[test]
    fn what_is_written_is_read_again(value in values(), method in "[a-z]{1,9}\\.[a-zA-Z]{1,9}") {
        let answer = Ok(value.clone());
        prop_assert_eq!(parse_response(&write_response(&answer)).unwrap(), Ok(carried(&value)));
        let call = Call { method: method.clone(), params: vec![value.clone()] };
        let expected = Call { method, params: vec![carried(&value)] };
        prop_assert_eq!(parse_call(&write_call(&call)).unwrap(), expected);
    }

    #[test]
    fn no_bytes_make_it_panic(bytes in any::<Vec<u8>>(), text in any::<String>()) {
        let _ = parse_call(&bytes);
        let _ = parse_response(&bytes);
        let _ = parse_call(text.as_bytes());
    }

    #[test]
    fn no_mutation_makes_it_panic(
        value in values(),
        changes in prop::collection::vec((any::<prop::sample::Index>(), any::<u8>(), 0..4usize), 1..12),
    ) {
        let mut document = write_call(&Call { method: "a.b".into(), params: vec![value] });
        for (place, byte, kind) in changes {
            let at = place.index(document.len());
            match kind {
                0 => document[at] = byte,
                1 => document.insert(at, byte),
                2 if document.len() > 1 => { document.remove(at); }
                _ => document.truncate(at.max(1)),
            }
        }
        let _ = parse_call(&document);
        let _ = parse_response(&document);
    }
}
