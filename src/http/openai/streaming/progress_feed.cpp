#include "http/openai/streaming/progress_feed.h"

#include <utility>

namespace easel::http {

void ProgressFeed::receive(const ProgressEvent& event) {
  const MutexLock lock(mutex_);
  news_.changed = true;
  if (event.kind == ProgressEvent::Kind::kStep) news_.step = event.progress;
  if (!event.preview) return;
  news_.previews.push_back(*event.preview);
  newest_preview_ = *event.preview;
}

ProgressFeed::News ProgressFeed::take() {
  const MutexLock lock(mutex_);
  News news{.changed = std::exchange(news_.changed, false),
            .previews = std::exchange(news_.previews, {}),
            .step = news_.step};
  return news;
}

bool ProgressFeed::stepped() const {
  const MutexLock lock(mutex_);
  return news_.step.has_value();
}

std::optional<Image> ProgressFeed::newest_preview() const {
  const MutexLock lock(mutex_);
  return newest_preview_;
}

}  // namespace easel::http
