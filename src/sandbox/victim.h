// For this room's tests: attacks run in forked victims, once outside and once behind walls. Not part of the
// library.
#pragma once

#include <gtest/gtest.h>
#include <unistd.h>

#include <functional>
#include <string>

#include "sandbox/contain.h"
#include "sandbox/root.h"

namespace cloister::sandbox::victim {

inline constexpr uid_t kUid = 61234;               // of jobs: nobody else's
inline constexpr int kHarnessFailed = 250;         // the walls could not be built; the reason is on stderr
inline constexpr int kKilledBySeccomp = 128 + 31;  // SIGSYS

// Answers 0 if it worked, else errno or any other small number.
using Attack = std::function<int()>;

// The errno way of a system call's result.
int errno_of(long result);

// What the attack answers in a child of root with a mount namespace of its own; 128 + n if signal n ended it.
int outside(const Attack& attack);
// The same as kUid.
int outside_as_user(const Attack& attack);
// The same behind no_new_privs and the profile's filters only (as root, so that nothing else can be what
// refuses it).
int in_profile(Profile profile, const Attack& attack);

// A whole job: namespaces, root, /proc and walls.
struct Job {
  Job();
  RootPlan plan;
  Walls walls;
  std::string hostname = "job";
  // Runs in the launcher, in its mount namespace, before the root is assembled.
  std::function<void()> prepare;

  int run(const Attack& attack) const;
};

// A directory under /tmp for one test, 0755.
class TempDir {
 public:
  TempDir();
  ~TempDir();
  TempDir(const TempDir&) = delete;
  TempDir& operator=(const TempDir&) = delete;
  const std::string& path() const { return path_; }
  std::string file(const std::string& name, const std::string& content = "", mode_t mode = 0644) const;
  std::string directory(const std::string& name, mode_t mode = 0755) const;

 private:
  std::string path_;
};

std::string read_text(const std::string& path);

// Ends the child with kHarnessFailed if a step of the harness itself fails.
void must(const Status& status);

}  // namespace cloister::sandbox::victim

#define SKIP_UNLESS_ROOT() \
  if (::geteuid() != 0) GTEST_SKIP() << "needs root: it builds namespaces and mounts"
