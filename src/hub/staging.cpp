#include "hub/staging.h"

#include <fcntl.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cerrno>
#include <chrono>
#include <cstdio>
#include <cstring>
#include <filesystem>
#include <fstream>
#include <sstream>
#include <thread>
#include <vector>

#include "core/log.h"
#include "core/open_file.h"
#include "core/text.h"
#include "easel/error.h"

namespace easel::hub {
namespace {

namespace fs = std::filesystem;

constexpr const char* kVersionFile = ".version";
constexpr const char* kPartial = ".partial";
constexpr std::size_t kMaxVersionBytes = 32 << 20;

Error cannot_write(const std::string& folder, int reason) {
  return {ErrorCode::kUnavailable, concat("cannot write to the models folder ", folder, ": ", std::strerror(reason))};
}

/// Creates a folder, or accepts one that exists; refuses a symbolic link.
void make_folder(const std::string& path, const std::string& models_dir) {
  if (mkdir(path.c_str(), 0777) == 0) return;
  if (errno != EEXIST) throw cannot_write(models_dir, errno);
  struct stat status;
  if (lstat(path.c_str(), &status) != 0 || !S_ISDIR(status.st_mode)) {
    throw Error(ErrorCode::kInvalidArgument, concat(path, " is in the way; easel expects a folder there"));
  }
}

bool exists(const std::string& path) {
  struct stat status;
  return lstat(path.c_str(), &status) == 0;
}

void sync_folder(const std::string& path) {
  const int descriptor = open(path.c_str(), O_RDONLY | O_DIRECTORY | O_CLOEXEC);
  if (descriptor < 0) return;
  fsync(descriptor);
  close(descriptor);
}

/// One line for each file: its version, a tab and its path.
FileVersions read_versions(const std::string& path) {
  FileVersions versions;
  try {
    std::istringstream lines(read_file(path, path, kMaxVersionBytes));
    for (std::string line; std::getline(lines, line);) {
      const auto tab = line.find('\t');
      if (tab != std::string::npos) versions[line.substr(tab + 1)] = line.substr(0, tab);
    }
  } catch (const Error&) {  // nothing staged, or nothing usable
  }
  return versions;
}

void write_versions(const std::string& path, const FileVersions& versions) {
  const auto unfinished = path + kPartial;
  fs::remove_all(unfinished);
  std::ofstream file(unfinished);
  for (const auto& [name, version] : versions) file << version << '\t' << name << '\n';
  file.close();
  if (!file || std::rename(unfinished.c_str(), path.c_str()) != 0) {
    throw Error(ErrorCode::kUnavailable, concat("cannot write ", path, ": ", std::strerror(errno)));
  }
}

/// Removes files that `is_kept` refuses from a folder and its subfolders, and subfolders that are empty then. Symbolic
/// links are removed, not followed.
/// @param relative  the folder's path for `is_kept`, with a slash at its end, or empty
void remove_others(const fs::path& folder, const std::string& relative,
                   const std::function<bool(const std::string&)>& is_kept) {
  const std::vector<fs::directory_entry> entries(fs::directory_iterator(folder), fs::directory_iterator{});
  for (const auto& entry : entries) {
    const auto name = relative + entry.path().filename().string();
    if (entry.symlink_status().type() == fs::file_type::directory) {
      remove_others(entry.path(), name + "/", is_kept);
      std::error_code not_empty;
      fs::remove(entry.path(), not_empty);
    } else if (entry.symlink_status().type() != fs::file_type::regular || !is_kept(name)) {
      fs::remove(entry.path());
    }
  }
}

}  // namespace

void prepare_models_folder(const std::string& models_dir) {
  std::error_code failed;
  fs::create_directories(models_dir, failed);
  if (failed) throw cannot_write(models_dir, failed.value());
  if (access(models_dir.c_str(), W_OK) != 0) throw cannot_write(models_dir, errno);
}

Staging::Staging(const std::string& models_dir, const std::string& target, const std::function<bool()>& stop)
    : models_dir_(models_dir),
      target_(target),
      hidden_(models_dir + "/.easel"),
      folder_(hidden_ + "/" + target),
      // No model's name begins with a dot.
      lock_path_(concat(hidden_, "/.", target, ".lock")) {
  prepare_models_folder(models_dir);
  lock(stop);
  fs::remove_all(removed_path());  // of a process that was killed
  make_folder(folder_, models_dir_);
}

/// Another process may remove the lock file, or the hidden folder, between our opening and locking it; then the lock is
/// on a file that nobody else sees, so it is taken again.
void Staging::lock(const std::function<bool()>& stop) {
  constexpr std::chrono::milliseconds kPause{100};
  for (bool waited = false;;) {
    make_folder(hidden_, models_dir_);
    lock_ = open(lock_path_.c_str(), O_RDWR | O_CREAT | O_CLOEXEC | O_NOFOLLOW, 0666);
    if (lock_ < 0 && errno == ENOENT) continue;
    if (lock_ < 0) throw cannot_write(models_dir_, errno);
    // Where the file system has no locks, pulls do not wait for each other.
    while (flock(lock_, LOCK_EX | LOCK_NB) != 0 && (errno == EWOULDBLOCK || errno == EINTR)) {
      if (!waited) log::info(concat("another pull of ", target_, " is running; waiting for it"));
      waited = true;
      if (stop && stop()) {
        close(lock_);
        throw Error(ErrorCode::kCancelled, concat("the download of ", target_, " was stopped"));
      }
      std::this_thread::sleep_for(kPause);
    }
    struct stat locked, there;
    if (fstat(lock_, &locked) == 0 && lstat(lock_path_.c_str(), &there) == 0 && locked.st_ino == there.st_ino) return;
    close(lock_);
  }
}

Staging::~Staging() {
  // Fail where files are left for the next pull, or where another pull uses the folder.
  rmdir(folder_.c_str());
  unlink(lock_path_.c_str());
  rmdir(hidden_.c_str());
  close(lock_);
}

void Staging::keep_only(const FileVersions& versions) {
  const auto path = concat(folder_, "/", kVersionFile);
  const auto staged = read_versions(path);
  if (staged == versions) return;
  remove_others(folder_, "", [&](const std::string& name) {
    const auto file = name.ends_with(kPartial) ? name.substr(0, name.size() - std::strlen(kPartial)) : name;
    const auto before = staged.find(file), now = versions.find(file);
    return name == kVersionFile || (before != staged.end() && now != versions.end() && before->second == now->second);
  });
  write_versions(path, versions);
}

std::string Staging::file(const std::string& relative) const {
  for (auto slash = relative.find('/'); slash != std::string::npos; slash = relative.find('/', slash + 1)) {
    make_folder(concat(folder_, "/", relative.substr(0, slash)), models_dir_);
  }
  return concat(folder_, "/", relative);
}

bool Staging::target_exists() const {
  return exists(target_path());
}

std::string Staging::target_path() const {
  return concat(models_dir_, "/", target_);
}

/// Where a target is moved to before it is removed file by file.
std::string Staging::removed_path() const {
  return concat(hidden_, "/.", target_, ".removed");
}

void Staging::publish(const std::string& file) {
  unlink(concat(folder_, "/", kVersionFile).c_str());
  const auto from = file.empty() ? folder_ : concat(folder_, "/", file);
  sync_folder(folder_);
  int failed = renameat2(AT_FDCWD, from.c_str(), AT_FDCWD, target_path().c_str(), RENAME_NOREPLACE);
  if (failed != 0 && (errno == EINVAL || errno == ENOSYS) && !exists(target_path())) {  // a file system without it
    failed = std::rename(from.c_str(), target_path().c_str());
  }
  if (failed != 0) {
    throw Error(ErrorCode::kUnavailable, concat("cannot create ", target_path(), ": ", std::strerror(errno)));
  }
  sync_folder(models_dir_);
  if (!file.empty()) fs::remove_all(folder_);
}

void Staging::remove_target() {
  if (std::rename(target_path().c_str(), removed_path().c_str()) != 0) {
    throw Error(ErrorCode::kUnavailable, concat("cannot remove ", target_path(), ": ", std::strerror(errno)));
  }
  sync_folder(models_dir_);
  std::error_code failed;
  fs::remove_all(removed_path(), failed);
  if (failed) {
    throw Error(ErrorCode::kUnavailable, concat("cannot remove ", removed_path(), ": ", failed.message()));
  }
}

}  // namespace easel::hub
