// The command line of cloister-kms: init, serve, stop, principal, session.
#pragma once

namespace cloister::emulator {

// What main returns: 0 success, 1 failure, 2 usage. Changes process-wide settings (umask, signal mask).
int run_commands(int argc, char** argv);

}  // namespace cloister::emulator
