// The verbs, one source file each. Every function adds its verb to the command line; what it captures lives
// as long as the context.
#pragma once

#include "cli/command_line.h"
#include "cli/context.h"

namespace cloister::cli {

void add_encrypt(CommandLine& line, const Context& context);
void add_inspect(CommandLine& line, const Context& context);
void add_image(CommandLine& line, const Context& context);
void add_key(CommandLine& line, const Context& context);
void add_host(CommandLine& line, const Context& context);
void add_up(CommandLine& line, const Context& context);
void add_down(CommandLine& line, const Context& context);
void add_status(CommandLine& line, const Context& context);
void add_logs(CommandLine& line, const Context& context);
void add_console(CommandLine& line, const Context& context);
void add_proxy(CommandLine& line, const Context& context);
void add_sync(CommandLine& line, const Context& context);
void add_run(CommandLine& line, const Context& context);
void add_jobs(CommandLine& line, const Context& context);
void add_diagnose(CommandLine& line, const Context& context);
void add_verify(CommandLine& line, const Context& context);
void add_signer(CommandLine& line, const Context& context);
void add_doctor(CommandLine& line, const Context& context);
void add_kms(CommandLine& line, const Context& context);

}  // namespace cloister::cli
