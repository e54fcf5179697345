//! The memory of buffers, and numbers in it.

use std::sync::atomic::Ordering;
use std::thread;

use milliways_node_model::{Kind, Memory, Node, Val, Value as Model};
use napi_sys::TypedarrayType as Type;

use crate::node::{Callback, DataError, Registers, SharedView};
use crate::{handle, in_scope, number, taken};

/// Returns a copy of the memory of a value; `None` if it has none.
fn copy(node: &Node, value: &Val) -> Option<Result<Vec<u8>, DataError>> {
    in_scope(node, |js| {
        let memory = js.memory(handle(node, js, value))?;
        // SAFETY: it has just been asked for, and copying calls no JavaScript.
        Some(unsafe { memory.with(|bytes| bytes.with(<[u8]>::to_vec)) })
    })
}

#[test]
fn a_new_buffer_has_what_is_written_into_it() {
    let node = Node::new();
    // From 4,096 bytes on, the memory is made in another way.
    for length in [0, 1, 4_095, 4_096, 5_000] {
        let bytes: Vec<u8> = (0..=255).cycle().take(length).collect();
        let buffer = in_scope(&node, |js| taken(&node, js.copied_buffer(&bytes).expect("a buffer")));
        assert!(buffer.bytes() == Some(bytes.clone()), "{length} bytes");
        assert!(copy(&node, &buffer) == Some(Ok(bytes)), "{length} bytes");
    }
}

#[test]
fn a_view_has_the_bytes_of_its_part() {
    let node = Node::new();
    let buffer = Model::array_buffer(&(0..64).collect::<Vec<u8>>());
    for (kind, size) in
        [(Type::uint8_array, 1), (Type::int16_array, 2), (11, 2), (Type::float32_array, 4), (Type::biguint64_array, 8)]
    {
        for elements in [0, 1, 3] {
            let view = Model::object(Kind::View(kind, buffer.clone(), 16, elements));
            let expected = (16..64).take(size * elements).collect();
            assert_eq!(copy(&node, &view), Some(Ok(expected)), "{elements} elements of {size} bytes");
        }
    }
    assert_eq!(copy(&node, &Model::object(Kind::View(99, buffer, 0, 1))), None);
    assert_eq!(copy(&node, &number(1.0)), None);
    assert_eq!(copy(&node, &Model::object(Kind::Plain)), None);
}

#[test]
fn the_memory_of_a_detached_buffer_is_not_used() {
    let node = Node::new();
    let buffer = Model::array_buffer(b"bytes");
    let view = Model::object(Kind::View(Type::uint8_array, buffer.clone(), 0, 5));
    buffer.detach();
    assert_eq!(copy(&node, &buffer), Some(Err(DataError::Detached)));
    assert_eq!(copy(&node, &view), Some(Err(DataError::Detached)));
    let empty = Model::array_buffer(b"");
    assert_eq!(copy(&node, &empty), Some(Ok(Vec::new())));
}

#[test]
fn shared_memory_is_read_while_another_thread_writes_to_it() {
    let node = Node::new();
    let shared = Model::object(Kind::SharedArrayBuffer(Memory::new(16)));
    let view = SharedView::default();
    // As js/ does: a typed array of the same memory.
    let script =
        Model::script(|_, arguments| Ok(Model::object(Kind::View(Type::uint8_array, arguments[0].clone(), 0, 16))));
    in_scope(&node, |js| view.set(Callback::new(js, handle(&node, js, &script)).expect("a function")));
    let Some(Kind::SharedArrayBuffer(memory)) = shared.kind() else { panic!("not shared") };
    let cells = memory.cells();
    thread::scope(|scope| {
        scope.spawn(|| cells.iter().for_each(|cell| cell.store(7, Ordering::Relaxed)));
        let bytes = in_scope(&node, |js| view.copy_of(js, handle(&node, js, &shared))).expect("bytes");
        assert!(bytes.len() == 16 && bytes.iter().all(|byte| [0, 7].contains(byte)), "{bytes:?}");
    });
    let bytes = in_scope(&node, |js| view.copy_of(js, handle(&node, js, &shared)));
    assert_eq!(bytes, Ok(vec![7; 16]));
    view.set(None);
    assert_eq!(in_scope(&node, |js| view.copy_of(js, handle(&node, js, &shared))), Err(DataError::Invalid));
}

#[test]
fn registers_are_seen_by_both_sides() {
    let node = Node::new();
    let (registers, buffer) = in_scope(&node, |js| {
        let exports = js.object().expect("an object");
        let registers = Registers::<3>::export(js, exports, c"registers").expect("registers");
        (registers, taken(&node, exports).property("registers").expect("a buffer"))
    });
    let Some(Kind::ArrayBuffer(memory)) = buffer.kind() else { panic!("not a buffer") };
    let cells = |run: &dyn Fn(&[std::sync::atomic::AtomicU8])| run(memory.borrow().as_ref().expect("memory").cells());
    registers.set(1_usize, 0x0403_0201);
    cells(&|cells| {
        assert_eq!(
            cells[4..8].iter().map(|cell| cell.load(Ordering::Relaxed)).collect::<Vec<_>>(),
            0x0403_0201_u32.to_ne_bytes()
        );
        cells[8].store(9, Ordering::Relaxed);
    });
    drop(buffer);
    assert_eq!([0_usize, 1, 2].map(|index| registers.get(index)), [0, 0x0403_0201, u32::from_ne_bytes([9, 0, 0, 0])]);
}
