#include "sandbox/system_directories.h"

#include <unistd.h>

#include <array>

namespace cloister::sandbox {

namespace {

// What interpreters and libraries read. Everything else below /etc is the machine's own business.
constexpr std::array<const char*, 14> kEtc{
    "/etc/ld.so.cache", "/etc/ld.so.conf", "/etc/ld.so.conf.d", "/etc/alternatives",   "/etc/fonts",
    "/etc/localtime",   "/etc/magic",      "/etc/mime.types",   "/etc/python3",        "/etc/python3.11",
    "/etc/python3.13",  "/etc/R",          "/etc/ssl/certs",    "/etc/ssl/openssl.cnf"};
constexpr std::array<const char*, 6> kMayBeLinks{"/bin", "/sbin", "/lib", "/lib32", "/lib64", "/libx32"};

void bind_if_there(RootPlan& plan, const std::string& path) {
  if (::access(path.c_str(), F_OK) != 0) return;
  plan.mounts.push_back({.kind = Mount::Kind::bind, .target = path, .source = path, .read_only = true});
}

}  // namespace

void add_system_directories(RootPlan& plan) {
  bind_if_there(plan, "/usr");
  for (const char* path : kMayBeLinks) {
    std::array<char, 256> target{};
    ssize_t n = ::readlink(path, target.data(), target.size() - 1);
    if (n > 0) {
      plan.symlinks.push_back({path, std::string(target.data(), static_cast<std::size_t>(n))});
    } else {
      bind_if_there(plan, path);
    }
  }
  for (const char* path : kEtc) bind_if_there(plan, path);
}

}  // namespace cloister::sandbox
