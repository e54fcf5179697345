//! Strings in both directions.

use std::rc::Rc;

use milliways_node_model::{Node, Value as Model};

use crate::{handle, in_scope, number, taken};

/// Lengths in bytes, most of them around the room for the first pass, 4,096.
const LENGTHS: &[usize] = if cfg!(miri) { &[0, 16, 4092] } else { &[0, 4, 16, 4090, 4092, 4095, 4096, 5000] };

#[test]
fn strings_of_any_length_are_appended_as_utf8() {
    let node = Node::new();
    for character in ["a", "é", "€", "😀"] {
        for &length in LENGTHS {
            // Miri takes many seconds for thousands of characters.
            if cfg!(miri) && length / character.len() > 1024 {
                continue;
            }
            let text = character.repeat(length / character.len());
            let mut output = b"before ".to_vec();
            let is_string =
                in_scope(&node, |js| js.append_string(handle(&node, js, &Model::string(&text)), &mut output));
            assert_eq!(is_string, Ok(true));
            assert!(output == format!("before {text}").into_bytes(), "{length} bytes of {character}");
        }
    }
}

#[test]
fn lone_surrogates_become_replacement_characters() {
    let node = Node::new();
    let mut output = Vec::new();
    let value = Rc::new(Model::String(vec![0x61, 0xd800, 0x62]));
    in_scope(&node, |js| js.append_string(handle(&node, js, &value), &mut output)).expect("a string");
    assert_eq!(output, "a\u{fffd}b".as_bytes());
}

#[test]
fn other_values_are_not_appended() {
    let node = Node::new();
    let mut output = b"before".to_vec();
    assert_eq!(in_scope(&node, |js| js.append_string(handle(&node, js, &number(5.0)), &mut output)), Ok(false));
    assert_eq!(output, b"before");
}

#[test]
fn a_prefix_is_cut_between_characters() {
    let node = Node::new();
    let mut output = b"< ".to_vec();
    in_scope(&node, |js| js.append_prefix::<8>(handle(&node, js, &Model::string("abcd€€")), &mut output))
        .expect("text");
    assert_eq!(output, "< abcd€".as_bytes());
}

#[test]
fn text_becomes_a_string() {
    let node = Node::new();
    in_scope(&node, |js| {
        for text in ["", "ascii", "é€😀"] {
            let made = [js.string(text), js.checked_string(text.as_bytes()), js.text_or_bytes(text.as_bytes())];
            for value in made {
                let value = value.expect("a string");
                assert_eq!(taken(&node, value).text().as_deref(), Some(text));
                assert_eq!(js.string_length(value), Ok(Some(text.encode_utf16().count())));
                assert_eq!(js.text(value).as_deref(), Ok(text));
            }
        }
        let latin1 = js.latin1_string(b"\xe9\x00").expect("a string");
        assert_eq!(taken(&node, latin1).text().as_deref(), Some("é\0"));
        let bytes = js.text_or_bytes(b"\xff").expect("a buffer");
        assert_eq!(taken(&node, bytes).bytes().as_deref(), Some(&b"\xff"[..]));
        assert_eq!(js.string_length(handle(&node, js, &number(1.0))), Ok(None));
        assert_eq!(js.text(handle(&node, js, &number(1.5))).as_deref(), Ok("1.5"));
    });
}
