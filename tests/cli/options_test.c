/* The option parser. */
#include "cli/options.h"
#include "tests/support/check.h"

typedef struct args {
    bool quiet;
    const char *output;
    int64_t threads;
    double rtol;
    int size;
    cli_list inputs, dims;
} args;

static const cli_option options[] = {
    CLI_FLAG(args, quiet, "quiet", "say nothing"),
    {"output", "FILE", 'o', CLI_KIND_STRING, offsetof(args, output), "where to"},
    CLI_INT(args, threads, "threads", "N", "threads"),
    CLI_NUMBER(args, rtol, "rtol", "R", "tolerance"),
    CLI_CHOICE(args, size, "size", "small|large|all", "size"),
    CLI_LIST(args, inputs, "input", "NAME=FILE", "inputs"),
    CLI_LIST(args, dims, "dim", "NAME=SIZE", "sizes"),
};

static const cli_command command = {.name = "try",
                                    .summary = "tries",
                                    .usage = "FILE",
                                    .options = options,
                                    .n_options = sizeof options / sizeof options[0],
                                    .min_args = 1,
                                    .max_args = 2,
                                    .args_size = sizeof(args)};

static args a;
static cli_list positional;
static const char *space[256];
static cli_parse p;

#define PARSE(...) parse((char *[]){"try", __VA_ARGS__, NULL})

static cli_parsed parse(char **argv) {
    int argc = 0;
    while (argv[argc])
        argc++;
    a = (args){.threads = 7};
    p = (cli_parse){.command = &command,
                    .argc = argc,
                    .argv = argv,
                    .args = &a,
                    .positional = &positional,
                    .space = space};
    CHECK(cli_space_needed(&command, argc) <= 256);
    return cli_parse_options(&p);
}

static void test_good(void) {
    CHECK_EQ(PARSE("m.onnx", "-o", "out", "--threads=2", "--rtol", "1e-4", "--quiet", "--input",
                   "x=1", "--dim=n=4", "--input=y=2", "--size=large"),
             CLI_RUN);
    CHECK_EQ(a.size, 1);
    CHECK_STR(a.output, "out");
    CHECK_EQ(a.threads, 2);
    CHECK(a.rtol == 1e-4);
    CHECK(a.quiet);
    CHECK_EQ(a.inputs.n, 2);
    CHECK_STR(a.inputs.items[1], "y=2");
    CHECK_STR(a.dims.items[0], "n=4");
    CHECK_EQ(positional.n, 1);
    CHECK_STR(positional.items[0], "m.onnx");
    CHECK_EQ(PARSE("--output=o=p", "-", "--", "--quiet"), CLI_RUN);
    CHECK_STR(a.output, "o=p");
    CHECK_EQ(positional.n, 2);
    CHECK_STR(positional.items[1], "--quiet");
    CHECK(!a.quiet);
    CHECK_EQ(a.threads, 7);
    CHECK_EQ(PARSE("--help"), CLI_HELP);
    CHECK_EQ(PARSE("x", "-h", "--nonsense"), CLI_HELP);
}

static void expect_wrong(cli_parsed found, const char *text) {
    CHECK_EQ(found, CLI_WRONG);
    CHECK_STR(p.error, text);
}

static void test_wrong(void) {
    expect_wrong(PARSE("x", "--nonsense"), "unknown option '--nonsense'");
    expect_wrong(PARSE("x", "-q"), "unknown option '-q'");
    expect_wrong(PARSE("x", "--thread", "3"), "unknown option '--thread'");
    expect_wrong(PARSE("x", "--quiet=1"), "--quiet takes no value");
    expect_wrong(PARSE("x", "--threads"), "--threads needs a value: N");
    expect_wrong(PARSE("x", "--size=huge"), "--size: expected small|large|all, found 'huge'");
    expect_wrong(PARSE("x", "--threads", "two"), "--threads: 'two' is not a whole number");
    expect_wrong(PARSE("x", "--threads", "-2"), "--threads: '-2' is not a whole number");
    expect_wrong(PARSE("x", "--threads", "99999999999999999999"),
                 "--threads: '99999999999999999999' is not a whole number");
    expect_wrong(PARSE("x", "--rtol", "nan"), "--rtol: 'nan' is not a number, or negative");
    expect_wrong(PARSE("--quiet"), "an argument is missing: FILE");
    expect_wrong(PARSE("x", "y", "z"), "unexpected argument 'z'");
}

static void test_helpers(void) {
    const char *value;
    size_t n;
    int64_t v;
    CHECK(cli_split("a=b=c", &value, &n) && n == 1);
    CHECK_STR(value, "b=c");
    CHECK(!cli_split("=b", &value, &n));
    CHECK(!cli_split("ab", &value, &n));
    CHECK(cli_parse_int("0", &v) && v == 0);
    CHECK(!cli_parse_int("", &v));
    CHECK(!cli_parse_int("1x", &v));
    CHECK(!cli_parse_int("+1", &v));
}

int main(void) {
    test_good();
    test_wrong();
    test_helpers();
    return check_done();
}
