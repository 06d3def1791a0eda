// A checkpoint's files: weights.safetensors, shared.safetensors, rank-R.safetensors of each rank, and state.json.
#include "train/checkpoint/checkpoints.hpp"

#include <algorithm>
#include <exception>
#include <nlohmann/json.hpp>
#include <utility>

#include "convoy/error.hpp"
#include "train/checkpoint/checkpoint_files.hpp"

namespace convoy {

namespace fs = std::filesystem;
using Json = nlohmann::json;

namespace {

constexpr std::uint64_t kRoomForRows = 64 << 10;  // bytes, for hundreds of rows

template <typename T>
bool is_ready(const std::future<T>& future) {
  return future.wait_for(std::chrono::seconds(0)) == std::future_status::ready;
}

}  // namespace

Checkpoints::Checkpoints(Backend& backend, Communicator& communicator, const fs::path& folder,
                         const CheckpointOptions& options, std::function<void(std::string_view)> warn)
    : backend_(backend),
      communicator_(communicator),
      folder_(folder),
      options_(options),
      warn_(std::move(warn)),
      shared_(backend) {
  for (int rank = 0; rank < options.local_ranks; ++rank) ranks_.push_back(std::make_unique<Snapshot>(backend));
}

bool Checkpoints::asks_by_time() {
  if (!is_first() || options_.interval.seconds == 0 || has_asked_ || under_way_) return false;
  const std::chrono::duration<double> passed = std::chrono::steady_clock::now() - last_time_;
  return has_asked_ = passed.count() >= options_.interval.seconds;
}

void Checkpoints::save(CheckpointContents contents) {
  complete();
  last_time_ = std::chrono::steady_clock::now();
  has_asked_ = false;
  shared_.clear();
  IgnoringVisitor ignored;
  TrainingState state;
  state.shared = is_first() ? static_cast<StateVisitor*>(&shared_) : &ignored;
  state.shared_again = &ignored;
  for (const auto& rank : ranks_) {
    rank->clear();
    state.ranks.push_back(rank.get());
  }
  contents.visit(state);
  if (is_first()) {
    layout_ = &contents.averaged->layout();
    averaged_.resize(layout_->total_elements);
    backend_.download(averaged_.data(), contents.averaged->data(), contents.averaged->bytes());
  }
  const std::int64_t step = contents.manifest.step;
  under_way_ = UnderWay{std::move(contents.manifest), contents.is_best, step + 1};
  writing_ = std::async(std::launch::async, [this, step, info = std::move(contents.weights_info)] {
    return write(folder_.temporary(step), info);
  });
}

// A disk that is full to the last byte would end the run at its next row of metrics.
void Checkpoints::check_room(const fs::path& folder) const {
  std::uint64_t bytes = 0;
  for (const auto& rank : ranks_) bytes += rank->bytes();
  bytes *= static_cast<std::uint64_t>(communicator_.size());  // the others write as much at the same time
  bytes += shared_.bytes() + averaged_.size() * sizeof(float) + kRoomForRows;
  const std::uintmax_t free = fs::space(folder).available;
  CONVOY_CHECK(free >= bytes, "{}: {} bytes needed, {} free", folder.string(), bytes, free);
}

// Before a first step a run has removed what earlier ones left under a temporary name, so the folder is new.
Checkpoints::Written Checkpoints::write(const fs::path& folder, const WeightsInfo& info) const {
  Written written;
  const auto add = [&](const std::string& name, const WrittenFile& file) {
    written.files.push_back({name, file.bytes, file.checksum});
  };
  try {
    fs::create_directories(folder);
    check_room(folder);
    const int first_rank = communicator_.rank() * options_.local_ranks;
    for (std::size_t r = 0; r < ranks_.size(); ++r) {
      const std::string name = rank_file_name(first_rank + static_cast<int>(r));
      add(name, write_safetensors(folder / name, ranks_[r]->tensors()));
    }
    if (is_first()) {
      add(kSharedFileName, write_safetensors(folder / kSharedFileName, shared_.tensors()));
      add(kWeightsFileName, save_weights(folder / kWeightsFileName, *layout_, averaged_, info));
    }
  } catch (const std::exception& error) {
    written.failure = error.what();
  }
  return written;
}

// The workers look 1, 2, 4, 8, ... steps after the checkpoint's, so that they seldom wait for each other.
void Checkpoints::after_step(std::int64_t step) {
  if (publishing_.valid() && is_ready(publishing_)) wait_until_published();
  if (!under_way_ || step < under_way_->next_look) return;
  if (communicator_.min_max(is_ready(writing_) ? 1 : 0).least == 1) {
    complete();
  } else {
    under_way_->next_look = step + (step - under_way_->manifest.step);
  }
}

Checkpoints::Written Checkpoints::gather(const Written& own) {
  Json json = {{"failure", own.failure}, {"files", Json::array()}};
  for (const CheckpointFile& file : own.files) json["files"].push_back({file.name, file.bytes, file.checksum});
  Written all;
  for (const std::string& text : communicator_.gather(json.dump(-1, ' ', false, Json::error_handler_t::replace))) {
    const Json of_worker = Json::parse(text);
    if (all.failure.empty()) all.failure = of_worker["failure"].get<std::string>();
    for (const Json& file : of_worker["files"]) {
      all.files.push_back({file[0].get<std::string>(), file[1].get<std::uint64_t>(), file[2].get<std::uint64_t>()});
    }
  }
  return all;
}

void Checkpoints::complete() {
  wait_until_published();
  if (!under_way_) return;
  UnderWay done = std::move(*under_way_);
  under_way_.reset();
  Written written = gather(writing_.get());
  if (!is_first()) return;
  done.manifest.files = std::move(written.files);
  publishing_ = std::async(std::launch::async, [this, done = std::move(done), failure = written.failure] {
    std::string reason = failure;
    try {
      if (reason.empty()) folder_.publish(done.manifest, done.is_best, options_.keep);
    } catch (const std::exception& error) {
      reason = error.what();
    }
    if (!reason.empty()) folder_.discard(done.manifest.step);
    return reason;
  });
}

void Checkpoints::wait_until_published() {
  if (!publishing_.valid()) return;
  const std::string failure = publishing_.get();
  is_last_safe_ = failure.empty();
  if (!failure.empty()) warn_(fmt::format("warning: no checkpoint: {}", failure));
}

bool Checkpoints::finish() {
  complete();
  wait_until_published();
  return communicator_.min_max(is_last_safe_ ? 1 : 0).least == 1;
}

}  // namespace convoy
