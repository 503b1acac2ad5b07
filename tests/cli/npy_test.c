/* .npy and .npz: files that NumPy wrote (tests/data/npy/make.py), hostile headers, and what we write read back. */
#include "cli/file.h"
#include "cli/npz.h"
#include "tests/support/check.h"

#include <stdlib.h>
#include <unistd.h>

static tl_fail fail;
static tl_arena arena;
static diag messages;

static bool read_file(const char *name, tlbc_tensor *t) {
    tl_sv bytes;
    const char *path = tl_arena_printf(&arena, "tests/data/npy/%s", name);
    diag_clear(&messages);
    return CHECK(file_read(&messages, &arena, path, &bytes)) &&
           npy_read(&messages, &arena, name, bytes.data, bytes.len, t);
}

/* 0, 1, 2, … in row-major order whatever the file's order was. */
static void expect_counting(const char *name) {
    tlbc_tensor t;
    if (!CHECK(read_file(name, &t))) return;
    CHECK_EQ(t.rank, 3);
    CHECK_EQ(t.dims[0], 2);
    CHECK_EQ(t.dims[1], 3);
    CHECK_EQ(t.dims[2], 4);
    CHECK_EQ(t.bytes, 24 * (t.dtype == TLBC_C64 ? 8 : 4));
    CHECK_EQ((uintptr_t)t.data % 64, 0);
    for (int i = 0; i < 24; i++) {
        if (t.dtype == TLBC_F32) CHECK(((float *)t.data)[i] == (float)i);
        if (t.dtype == TLBC_I32) CHECK_EQ(((int32_t *)t.data)[i], i);
        if (t.dtype == TLBC_C64) {
            CHECK(((float *)t.data)[2 * i] == (float)i);
            CHECK(((float *)t.data)[2 * i + 1] == 2 * (float)i);
        }
    }
}

static void test_numpy_files(void) {
    tlbc_tensor t;
    expect_counting("f32.npy");
    expect_counting("f32_v2.npy");
    expect_counting("f32_v3.npy");
    expect_counting("f32_fortran.npy");
    expect_counting("i32_big.npy");
    expect_counting("c64_big_fortran.npy");
    if (CHECK(read_file("f16.npy", &t))) {
        CHECK_EQ(t.dtype, TLBC_F16);
        CHECK_EQ(((uint16_t *)t.data)[0], 0x3800);
        CHECK_EQ(((uint16_t *)t.data)[2], 0x7bff);
    }
    if (CHECK(read_file("bool.npy", &t))) {
        CHECK_EQ(t.dtype, TLBC_BOOL);
        CHECK_EQ(((uint8_t *)t.data)[0], 1);
        CHECK_EQ(((uint8_t *)t.data)[1], 0);
    }
    if (CHECK(read_file("scalar.npy", &t))) {
        CHECK_EQ(t.rank, 0);
        CHECK_EQ(((int64_t *)t.data)[0], 7);
    }
    if (CHECK(read_file("empty.npy", &t))) {
        CHECK_EQ(t.bytes, 0);
        CHECK_EQ(t.dims[1], 5);
    }
    CHECK(!read_file("objects.npy", &t));
    CHECK(!read_file("records.npy", &t));
}

/* A version 1 file of this header and so many bytes behind it. */
static bool read_header(const char *header, size_t payload) {
    char bytes[512] = "\x93NUMPY\x01";
    tlbc_tensor t;
    size_t n = strlen(header);
    bytes[8] = (char)n;
    memcpy(bytes + 10, header, n);
    diag_clear(&messages);
    return npy_read(&messages, &arena, "h.npy", bytes, 10 + n + payload, &t);
}

static void expect_refused(const char *header, size_t payload, const char *text) {
    CHECK(!read_header(header, payload));
    if (!CHECK(messages.n == 1 && strstr(messages.entries[0].text, text) != NULL))
        fprintf(stderr, "  header %s: %s\n", header, messages.n ? messages.entries[0].text : "");
}

static void test_headers(void) {
    CHECK(read_header("{'descr': '<f4', 'fortran_order': False, 'shape': (2,), }", 8));
    CHECK(read_header("{\"shape\":(2,3),\"fortran_order\":True,\"descr\":\"<f4\"}", 24));
    CHECK(read_header("{'descr': '<f4', 'fortran_order': False, 'shape': ()}\n", 4));
    const char *not_plain = "does not describe a plain array";
    expect_refused("", 0, not_plain);
    expect_refused("{}", 0, not_plain);
    expect_refused("{'descr': '<f4', 'fortran_order': False}", 8, not_plain);
    expect_refused("{'descr': '<f4', 'fortran_order': False, 'shape': (2,), 'x': 1}", 8, not_plain);
    expect_refused("{'descr': '<f4', 'fortran_order': False, 'shape': (-2,)}", 8, not_plain);
    expect_refused("{'descr': '<f4', 'fortran_order': 0, 'shape': (2,)}", 8, not_plain);
    expect_refused("{'descr': '<f4', 'descr': '<f4', 'fortran_order': False, 'shape': (2,)}", 8,
                   not_plain);
    expect_refused("{'descr': '<f4', 'fortran_order': False, 'shape': (2,)", 8, not_plain);
    expect_refused("{'descr': '<f4', 'fortran_order': False, 'shape': (2,)} x", 8, not_plain);
    expect_refused("{'descr': '<f4", 0, not_plain);
    expect_refused("{'descr': '<f4', 'fortran_order': False, 'shape': (99999999999999999999,)}", 8,
                   not_plain);
    expect_refused("{'descr': '<f4', 'fortran_order': False, 'shape': "
                   "(1,1,1,1,1,1,1,1,1,1,1,1,1,1,1,1,1)}",
                   4, not_plain);
    expect_refused("{'descr': '<f3', 'fortran_order': False, 'shape': (2,)}", 6, "not supported");
    expect_refused("{'descr': '|O', 'fortran_order': False, 'shape': (2,)}", 16, not_plain);
    expect_refused("{'descr': '<f4', 'fortran_order': False, 'shape': (3,)}", 8,
                   "8 bytes of data, the header asks for 12");
    expect_refused("{'descr': '<f8', 'fortran_order': False, 'shape': (4611686018427387904,4)}", 8,
                   "overflows");
    tlbc_tensor t;
    CHECK(!npy_read(&messages, &arena, "x", "\x93NUMPY\x01\x00\xff\xff", 10, &t));
    CHECK(!npy_read(&messages, &arena, "x", "\x93NUMPY\x02\x00\xff\xff", 10, &t));
    CHECK(!npy_read(&messages, &arena, "x", "\x93NUMPY\x09\x00\x00\x00\x00\x00", 12, &t));
    CHECK(!npy_read(&messages, &arena, "x", "NUMPY", 5, &t));
    CHECK(!npy_read(&messages, &arena, "x", "", 0, &t));
}

/* What we write is, byte for byte, what NumPy writes. */
static void test_write(void) {
    const char *const names[] = {"f32.npy", "f16.npy", "bool.npy", "scalar.npy", "empty.npy"};
    for (unsigned i = 0; i < sizeof names / sizeof *names; i++) {
        tlbc_tensor t;
        tl_sv numpy;
        tl_str ours;
        tl_str_init(&ours, &arena);
        CHECK(read_file(names[i], &t));
        CHECK(npy_write(&messages, names[i], &t, &ours));
        CHECK(file_read(&messages, &arena, tl_arena_printf(&arena, "tests/data/npy/%s", names[i]),
                        &numpy));
        if (!CHECK(tl_sv_equal(numpy, (tl_sv){ours.data, ours.len})))
            fprintf(stderr, "  %s\n", names[i]);
    }
}

static void test_write_small(void) {
    unsigned char packed[2] = {0x8f, 0x07}; /* i4: -1, -8, 7 */
    const int64_t three = 3;
    tlbc_tensor t = {.data = packed, .bytes = 2, .dtype = TLBC_I4, .rank = 1, .dims = {three}},
                back;
    tl_str s;
    tl_str_init(&s, &arena);
    CHECK(npy_write(&messages, "x", &t, &s));
    if (CHECK(npy_read(&messages, &arena, "x", s.data, s.len, &back))) {
        CHECK_EQ(back.dtype, TLBC_I8);
        CHECK(memcmp(back.data, "\xff\xf8\x07", 3) == 0);
    }
    t.dtype = TLBC_STRING;
    CHECK(!npy_write(&messages, "x", &t, &s));
}

static void test_archive(const char *path) {
    npz_entry *e;
    uint32_t n;
    if (!CHECK(npz_read(&messages, &arena, path, &e, &n)) || !CHECK_EQ(n, 2)) return;
    CHECK_STR(e[0].name, "x");
    CHECK_STR(e[1].name, "y");
    CHECK(((float *)e[0].tensor.data)[23] == 23);
    CHECK_EQ(((int64_t *)e[1].tensor.data)[1], 2);
}

/* Every single byte of an archive changed: an error or other values, never more. */
static void test_damaged_archives(void) {
    tl_sv good;
    char path[] = "/tmp/tlbc-npz-XXXXXX";
    int fd = mkstemp(path);
    if (!CHECK(fd >= 0)) return;
    close(fd);
    CHECK(file_read(&messages, &arena, "tests/data/npy/two_deflated.npz", &good));
    for (size_t i = 0; i < good.len; i += 3) {
        npz_entry *e;
        uint32_t n;
        FILE *f = fopen(path, "wb");
        if (!CHECK(f != NULL)) return;
        char old = good.data[i];
        ((char *)(uintptr_t)good.data)[i] ^= 0x41;
        fwrite(good.data, 1, good.len, f);
        fclose(f);
        ((char *)(uintptr_t)good.data)[i] = old;
        diag_clear(&messages);
        bool ok = npz_read(&messages, &arena, path, &e, &n);
        CHECK(ok == (messages.n_errors == 0));
    }
    remove(path);
}

int main(void) {
    if (setjmp(fail.jump)) return 1;
    tl_arena_init(&arena, &fail);
    diag_init(&messages, &arena);
    test_numpy_files();
    test_headers();
    test_write();
    test_write_small();
    test_archive("tests/data/npy/two.npz");
    test_archive("tests/data/npy/two_deflated.npz");
    test_damaged_archives();
    tl_arena_release(&arena);
    return check_done();
}
