//! zlib, the one in C. A context takes what its window needs: the levels of memory are those of the constants
//! `DEDICATED_COMPRESSOR_*`.

use std::os::raw::{c_char, c_int, c_uint, c_void};
use std::ptr;

use libz_sys as z;

use super::TAIL;
use crate::allocation;

unsafe extern "C" fn allocate(_: *mut c_void, items: c_uint, size: c_uint) -> *mut c_void {
    allocation::add(items as usize * size as usize);
    // SAFETY: any numbers are allowed.
    unsafe { libc::calloc(items as usize, size as usize) }
}

unsafe extern "C" fn free(_: *mut c_void, address: *mut c_void) {
    // SAFETY: zlib gives back what `allocate` gave.
    unsafe { libc::free(address) }
}

fn stream() -> z::z_stream {
    z::z_stream {
        next_in: ptr::null_mut(),
        avail_in: 0,
        total_in: 0,
        next_out: ptr::null_mut(),
        avail_out: 0,
        total_out: 0,
        msg: ptr::null_mut(),
        state: ptr::null_mut(),
        zalloc: allocate,
        zfree: free,
        opaque: ptr::null_mut(),
        data_type: 0,
        adler: 0,
        reserved: 0,
    }
}

fn version() -> *const c_char {
    // SAFETY: it returns the address of a constant.
    unsafe { z::zlibVersion() }
}

fn run(
    stream: &mut z::z_stream,
    input: &[u8],
    output: &mut [u8],
    call: unsafe extern "C" fn(z::z_streamp, c_int) -> c_int,
) -> usize {
    stream.next_in = input.as_ptr().cast_mut();
    stream.avail_in = input.len() as c_uint;
    stream.next_out = output.as_mut_ptr();
    stream.avail_out = output.len() as c_uint;
    // SAFETY: the stream is initialized; zlib reads no more than the input and writes no more than the output.
    let result = unsafe { call(stream, z::Z_SYNC_FLUSH) };
    assert!(result == z::Z_OK && stream.avail_in == 0, "{result}");
    output.len() - stream.avail_out as usize
}

pub(super) struct Deflater(Box<z::z_stream>);

impl Deflater {
    pub(super) fn new(bits: u8, level: c_int) -> Self {
        let mut stream = Box::new(stream());
        let mem_level = if bits == 9 { 1 } else { c_int::from(bits) - 7 };
        let size = size_of::<z::z_stream>() as c_int;
        // SAFETY: the stream has its allocation functions, and stays where it is.
        let result = unsafe {
            z::deflateInit2_(&raw mut *stream, level, z::Z_DEFLATED, -c_int::from(bits), mem_level, 0, version(), size)
        };
        assert_eq!(result, z::Z_OK);
        Self(stream)
    }

    pub(super) fn reset(&mut self) {
        // SAFETY: the stream is initialized.
        unsafe { z::deflateReset(&raw mut *self.0) };
    }

    pub(super) fn compress(&mut self, message: &[u8], output: &mut [u8]) -> usize {
        run(&mut self.0, message, output, z::deflate) - TAIL.len()
    }
}

impl Drop for Deflater {
    fn drop(&mut self) {
        // SAFETY: the stream is initialized, and not used again.
        unsafe { z::deflateEnd(&raw mut *self.0) };
    }
}

pub(super) struct Inflater(Box<z::z_stream>);

impl Inflater {
    pub(super) fn new() -> Self {
        let mut stream = Box::new(stream());
        let size = size_of::<z::z_stream>() as c_int;
        // SAFETY: the stream has its allocation functions, and stays where it is.
        let result = unsafe { z::inflateInit2_(&raw mut *stream, -15, version(), size) };
        assert_eq!(result, z::Z_OK);
        Self(stream)
    }

    /// One that has its window, which zlib makes when it first needs it.
    pub(super) fn for_window(bits: u8) -> Self {
        let inflater = Self::new();
        allocation::add(1 << bits);
        inflater
    }

    pub(super) fn reset(&mut self) {
        // SAFETY: the stream is initialized.
        unsafe { z::inflateReset(&raw mut *self.0) };
    }

    pub(super) fn decompress(&mut self, message: &[u8], output: &mut [u8]) -> usize {
        run(&mut self.0, message, output, z::inflate)
    }
}

impl Drop for Inflater {
    fn drop(&mut self) {
        // SAFETY: the stream is initialized, and not used again.
        unsafe { z::inflateEnd(&raw mut *self.0) };
    }
}
