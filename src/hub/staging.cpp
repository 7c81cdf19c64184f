#include "hub/staging.h"

#include <fcntl.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cerrno>
#include <cstdio>
#include <cstring>
#include <filesystem>
#include <fstream>

#include "core/log.h"
#include "core/open_file.h"
#include "core/text.h"
#include "easel/error.h"

namespace easel::hub {
namespace {

namespace fs = std::filesystem;

constexpr const char* kVersionFile = ".version";

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

}  // namespace

void prepare_models_folder(const std::string& models_dir) {
  std::error_code failed;
  fs::create_directories(models_dir, failed);
  if (failed) throw cannot_write(models_dir, failed.value());
  if (access(models_dir.c_str(), W_OK) != 0) throw cannot_write(models_dir, errno);
}

Staging::Staging(const std::string& models_dir, const std::string& target)
    : models_dir_(models_dir),
      target_(target),
      hidden_(models_dir + "/.easel"),
      folder_(hidden_ + "/" + target),
      lock_path_(folder_ + ".lock") {
  prepare_models_folder(models_dir);
  lock(lock_path_);
  make_folder(folder_, models_dir_);
}

/// Another process may remove the lock file, or the hidden folder, between our opening and locking it; then the lock is
/// on a file that nobody else sees, so it is taken again.
void Staging::lock(const std::string& path) {
  for (bool waited = false;;) {
    make_folder(hidden_, models_dir_);
    lock_ = open(path.c_str(), O_RDWR | O_CREAT | O_CLOEXEC | O_NOFOLLOW, 0666);
    if (lock_ < 0 && errno == ENOENT) continue;
    if (lock_ < 0) throw cannot_write(models_dir_, errno);
    if (flock(lock_, LOCK_EX | LOCK_NB) != 0) {
      if (!waited) log::info(concat("another pull of ", target_, " is running; waiting for it"));
      waited = true;
      while (flock(lock_, LOCK_EX) != 0 && errno == EINTR) {
      }
    }
    struct stat locked, there;
    if (fstat(lock_, &locked) == 0 && lstat(path.c_str(), &there) == 0 && locked.st_ino == there.st_ino) return;
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

void Staging::keep_only(const std::string& version) {
  const auto file = folder_ + "/" + kVersionFile;
  std::string staged;
  try {
    staged = read_file(file, file, 1 << 20);
  } catch (const Error&) {  // nothing staged, or nothing usable
  }
  if (staged == version) return;
  fs::remove_all(folder_);
  make_folder(folder_, models_dir_);
  std::ofstream(file) << version;
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

}  // namespace easel::hub
