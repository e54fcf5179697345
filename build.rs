//! Tells the linker that Node-API and libuv symbols are resolved by the node executable.

fn main() {
    napi_build::setup();
}
