/* Files of states: what the streams of a session have come to, as tlbc_state_save gives it, one stream behind the other.
 *
 *   ok = state_file_load(c, session, "before.state", n) && steps_run(...) && state_file_save(c, session, "after.state", n);
 *
 * n: the streams of the session. false after reporting; a session whose file was not loaded is of no use. */
#ifndef TLBC_CLI_STATE_FILE_H
#define TLBC_CLI_STATE_FILE_H

#include "cli/model.h"

bool state_file_load(cli *c, tlbc_session *s, const char *path, uint32_t streams);
bool state_file_save(cli *c, tlbc_session *s, const char *path, uint32_t streams);

#endif
