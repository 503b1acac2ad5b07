/* Which of the processors that libraries were compiled for their sessions take on this machine: a line for each.
 *
 *   chosen a.so b.so         a.so icelake-server
 *                            b.so this processor lacks instructions that the model was compiled for */
#include "runtime/session.h"
#include "tlbc/open.h"

#include <stdio.h>

static const char *chosen(const char *path) {
    static char message[1024];
    const tlbc_model *model;
    tlbc_session *s;
    if (tlbc_open(path, &model, message, sizeof message)) return message;
    tlbc_status status = tlbc_session_create(model, NULL, &s);
    return status ? tlbc_status_text(status) : s->variant->cpu;
}

int main(int argc, char **argv) {
    for (int i = 1; i < argc; i++)
        printf("%s %s\n", argv[i], chosen(argv[i]));
    return argc < 2;
}
