/* The commands of the program; see commands.def. */
#ifndef TLBC_CLI_COMMANDS_H
#define TLBC_CLI_COMMANDS_H

#include "cli/cli.h"

#define COMMAND(name) extern const cli_command command_##name;
#include "cli/commands.def"
#undef COMMAND

#endif
