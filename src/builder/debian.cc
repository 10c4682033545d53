#include <unistd.h>

#include <algorithm>
#include <array>

#include "builder/layer.h"
#include "builder/sources.h"

namespace cloister::builder {

namespace {

constexpr const char* kKeyring = "/usr/share/keyrings/debian-archive-keyring.gpg";
constexpr const char* kMirror = "http://deb.debian.org/debian";
constexpr const char* kSnapshots = "http://snapshot.debian.org/archive";
constexpr const char* kBuildTime =
    "1";  // seconds since 1970, for what packages write when they are installed

// Folders whose contents are left out, and files by their whole name.
constexpr std::array<std::string_view, 46> kFolders = {
    "boot",
    "etc/apt",
    "etc/cron.d",
    "etc/cron.daily",
    "etc/cron.hourly",
    "etc/cron.monthly",
    "etc/cron.weekly",
    "etc/dpkg",
    "etc/init.d",
    "etc/logrotate.d",
    "etc/rc0.d",
    "etc/rc1.d",
    "etc/rc2.d",
    "etc/rc3.d",
    "etc/rc4.d",
    "etc/rc5.d",
    "etc/rc6.d",
    "etc/rcS.d",
    "etc/systemd",
    "etc/update-motd.d",
    "home",
    "media",
    "mnt",
    "root",
    "usr/lib/systemd",
    "usr/share/bash-completion",
    "usr/share/bug",
    "usr/share/doc",
    "usr/share/doc-base",
    "usr/share/groff",
    "usr/share/info",
    "usr/share/linda",
    "usr/share/lintian",
    "usr/share/locale",
    "usr/share/man",
    "var/backups",
    "var/cache",
    "var/lib/apt",
    "var/lib/dpkg/alternatives",
    "var/lib/dpkg/info",
    "var/lib/dpkg/parts",
    "var/lib/dpkg/triggers",
    "var/lib/dpkg/updates",
    "var/lib/pam",
    "var/lib/systemd",
    "var/log",
};
// Of this machine, of this build (dates, random numbers), or about who may log in, which nobody does.
constexpr std::array<std::string_view, 16> kFiles = {
    "etc/.pwd.lock",
    "etc/group-",
    "etc/gshadow",
    "etc/gshadow-",
    "etc/hostname",
    "etc/machine-id",
    "etc/passwd-",
    "etc/resolv.conf",
    "etc/shadow",
    "etc/shadow-",
    "etc/subgid-",
    "etc/subuid-",
    "var/lib/dpkg/lock",
    "var/lib/dbus/machine-id",
    "var/lib/dpkg/status-old",
    "var/lib/dpkg/lock-frontend",
};

std::string mirror() {
  const char* chosen = ::getenv("CLOISTER_DEBIAN_MIRROR");
  return chosen == nullptr || *chosen == '\0' ? kMirror : chosen;
}

// sources.list lines: the release, its updates and its security updates, at one moment where a snapshot is
// named.
std::vector<std::string> sources_of(const DebianBase& base) {
  std::string options = fmt::format("signed-by={}", kKeyring);
  std::string main = mirror();
  std::string security = main + "-security";
  if (!base.snapshot.empty()) {
    options += " check-valid-until=no";  // a snapshot's lists are as old as it is
    main = fmt::format("{}/debian/{}", kSnapshots, base.snapshot);
    security = fmt::format("{}/debian-security/{}", kSnapshots, base.snapshot);
  }
  return {fmt::format("deb [{}] {} {} main", options, main, base.suite),
          fmt::format("deb [{}] {} {}-updates main", options, main, base.suite),
          fmt::format("deb [{}] {} {}-security main", options, security, base.suite)};
}

Program mmdebstrap(const DebianBase& base, image::Architecture architecture, const WorkFolder& work) {
  // "essential" is the least that packages may rely on when they are configured: no apt, no init.
  std::vector<std::string> words = {
      "mmdebstrap",
      "--quiet",
      "--variant=essential",
      "--format=tar",
      architecture == image::Architecture::arm64 ? "--architectures=arm64" : "--architectures=amd64",
      "--hook-dir=/usr/share/mmdebstrap/hooks/maybe-merged-usr",
      "--aptopt=APT::Install-Recommends \"false\"",
      "--dpkgopt=force-unsafe-io",  // what is half written when the power goes is built again
      "--dpkgopt=path-exclude=/usr/share/doc/*",
      "--dpkgopt=path-exclude=/usr/share/man/*",
      "--dpkgopt=path-exclude=/usr/share/locale/*"};
  // usr-is-merged keeps out usrmerge, which has nothing to do here and brings all of Perl.
  auto packages = base.packages;
  packages.emplace_back("usr-is-merged");
  words.push_back(fmt::format("--include={}", fmt::join(packages, ",")));
  words.push_back(base.suite);
  words.push_back(work.below("debian.tar"));
  for (auto& line : sources_of(base)) words.push_back(std::move(line));
  Program out{.words = std::move(words),
              .changed = {{"SOURCE_DATE_EPOCH", kBuildTime}, {"DEBIAN_FRONTEND", "noninteractive"}},
              .log = work.below("mmdebstrap.log"),
              .hint = "apt-get install mmdebstrap"};
  // Without root the packages' root is another user's of a user namespace, whom our private folder keeps out.
  if (::geteuid() == 0) out.changed["TMPDIR"] = work.path();
  return out;
}

}  // namespace

bool left_out(std::string_view path) {
  for (auto folder : kFolders) {
    if (path.starts_with(folder) && path.size() > folder.size() && path[folder.size()] == '/') return true;
  }
  if (std::ranges::find(kFiles, path) != kFiles.end()) return true;
  return path.ends_with("/__pycache__") || path.find("/__pycache__/") != std::string_view::npos ||
         path.ends_with(".pyc") || path.ends_with(".dpkg-old") || path.ends_with(".dpkg-dist");
}

Status apply_debian(const DebianBase& base, image::Architecture architecture, const WorkFolder& work,
                    const Say& say, image::FileTree& tree, image::Spool& spool) {
  if (base.snapshot.empty()) {
    say(fmt::format("Debian {} as it is today: name a snapshot to have the same bytes another day",
                    base.suite));
  } else {
    say(fmt::format("Debian {} of {}", base.suite, base.snapshot));
  }
  TRY(run_program(mmdebstrap(base, architecture, work))
          .context("Debian packages")
          .with_hint(
              "without root it takes subordinate ids (/etc/subuid) and a TMPDIR that everybody may enter"));
  image::FileTree whole;
  TRY(apply_layer(work.below("debian.tar"), {}, whole, spool).context("Debian packages"));
  for (const auto& [path, node] : whole.entries()) {
    if (left_out(path)) continue;
    auto kept = node;
    TRY(tree.put(path, std::move(kept)));
  }
  return {};
}

}  // namespace cloister::builder
