#include "train/checkpoint/loaded_checkpoint.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <exception>
#include <memory>
#include <sstream>
#include <utility>

#include "convoy/checksum.hpp"
#include "convoy/error.hpp"
#include "train/checkpoint/checkpoint_files.hpp"
#include "train/checkpoint/resume.hpp"
#include "train/checkpoint/state_reader.hpp"
#include "train/run_options.hpp"

namespace convoy {

namespace fs = std::filesystem;

namespace {

void check_samples_are_shared(const Manifest& manifest, const RunConfig& config, const World& world) {
  const std::string option = config.shard != "epoch" ? "--shard " + config.shard
                             : config.samples_per_rank > 0
                                 ? fmt::format("--samples-per-rank {}", config.samples_per_rank)
                                 : "";
  if (option.empty()) return;
  const std::string remedy = manifest.world_size % world.workers == 0
                                 ? fmt::format("--virtual-ranks {}", manifest.world_size / world.workers)
                                 : "as many processes as before";
  fail_usage("{}: each of the run's {} ranks has its own samples, so {} cannot go on in the same batches; {} can",
             option, manifest.world_size, world.size(), remedy);
}

// Those that the first worker finds, newest first: another one may see an older state of a folder on a network.
std::vector<fs::path> common_candidates(const std::string& resume, const std::string& out, Communicator& communicator,
                                        const std::function<void(std::string_view)>& note) {
  std::string own;  // each with a zero behind it
  if (communicator.rank() == 0) {
    const Found found = find_checkpoints(resume, out);
    for (const std::string& line : found.refused) note(line);
    for (const Found::Candidate& candidate : found.candidates) own += candidate.path.string() + '\0';
  }
  std::istringstream all(communicator.gather(own).front());
  std::vector<fs::path> paths;
  for (std::string path; std::getline(all, path, '\0');) paths.emplace_back(path);
  return paths;
}

}  // namespace

LoadedCheckpoint::LoadedCheckpoint(const fs::path& checkpoint, Manifest manifest, int first_rank, const World& world)
    : path_(checkpoint), manifest_(std::move(manifest)), shared_(open(kSharedFileName)), is_first_(first_rank == 0) {
  const bool takes_all = has_other_ranks(world);
  const int begin = takes_all ? 0 : first_rank, end = takes_all ? manifest_.world_size : first_rank + world.local;
  for (int rank = begin; rank < end; ++rank) ranks_.push_back(open(rank_file_name(rank)));
}

SafetensorsFile LoadedCheckpoint::open(const std::string& name) const {
  const auto entry = std::ranges::find(manifest_.files, name, &CheckpointFile::name);
  CONVOY_CHECK(entry != manifest_.files.end(), "{}: names no file {}", (path_ / kManifestName).string(), name);
  SafetensorsFile file = SafetensorsFile::open(path_ / name);
  CONVOY_CHECK(checksum(file.bytes().data(), file.bytes().size()) == entry->checksum,
               "{}: damaged: its checksum does not fit", file.origin());
  return file;
}

void LoadedCheckpoint::restore(Backend& backend, const World& world,
                               const std::function<void(TrainingState&)>& visit) const {
  StateReader shared(backend, {&shared_});
  std::vector<std::unique_ptr<StateReader>> readers;
  TrainingState state;
  state.shared = state.shared_again = &shared;
  state.has_other_ranks = has_other_ranks(world);
  for (int local = 0; local < world.local; ++local) {
    if (state.has_other_ranks) {
      std::vector<const SafetensorsFile*> all;
      for (const SafetensorsFile& file : ranks_) all.push_back(&file);
      readers.push_back(std::make_unique<StateReader>(backend, std::move(all), is_first_ && local == 0));
    } else {
      readers.push_back(std::make_unique<StateReader>(
          backend, std::vector<const SafetensorsFile*>{&ranks_[static_cast<std::size_t>(local)]}));
    }
    state.ranks.push_back(readers.back().get());
  }
  visit(state);
}

std::optional<LoadedCheckpoint> load_checkpoint(const std::string& resume, const std::string& out,
                                                Communicator& communicator, const World& world,
                                                const std::function<void(std::string_view)>& note) {
  if (resume.empty()) return std::nullopt;
  for (const fs::path& path : common_candidates(resume, out, communicator, note)) {
    std::optional<LoadedCheckpoint> loaded;
    std::string failure;
    try {
      loaded.emplace(path, read_manifest(path), communicator.rank() * world.local, world);
    } catch (const std::exception& error) {
      failure = error.what();
    }
    std::string first_failure;
    for (const std::string& of_worker : communicator.gather(failure)) {
      if (first_failure.empty()) first_failure = of_worker;
    }
    if (first_failure.empty()) return loaded;
    note(refusal(first_failure));
    if (resume != kResumeAuto) break;
  }
  if (resume != kResumeAuto) fail("--resume {}: no checkpoint there can be used", resume);
  return std::nullopt;
}

RunConfig with_batches_of(const Manifest& manifest, const RunConfig& config, const World& world) {
  const bool has_other_ranks = manifest.world_size != world.size();
  if (has_other_ranks) check_samples_are_shared(manifest, config, world);
  RunConfig result = parse_recipe(manifest.resolved, kManifestName);
  if (!has_other_ranks && result.batch == global_batch(config, world)) return config;
  for (const RunOption& row : run_options()) {
    if (row.on_resume == OnResume::may_change) row.set(result, row.get(config));
  }
  return result;
}

}  // namespace convoy
