// What shells complete: the scripts of `convoy completion`, asked as a shell asks them.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <algorithm>
#include <filesystem>
#include <fstream>
#include <sstream>
#include <string>
#include <string_view>
#include <vector>

#include "io/embedded.hpp"
#include "support/shell.hpp"
#include "support/temporary_folder.hpp"
#include "train/run_options.hpp"

namespace convoy {
namespace {

using testing::Contains;
using testing::ElementsAre;
using testing::IsEmpty;
using testing::IsSupersetOf;
using testing::UnorderedElementsAre;

using Words = std::vector<std::string>;

class Completion : public testing::Test {
 protected:
  void SetUp() override {
    if (std::string_view(CONVOY_TEST_EXECUTABLE).empty()) GTEST_SKIP() << "built without the executable";
    for (const char* name : {"images one", "images-two"}) std::filesystem::create_directory(folder_.path() / name);
  }

  // In a folder that has "images one" and "images-two".
  Words lines_of(const std::string& script) const {
    std::ofstream(folder_.path() / "script") << script;
    const std::string shell = script.substr(2, script.find('\n') - 2);  // after "#!"
    const auto outcome = test::run_shell("cd '" + folder_.path().string() + "' && " + shell + " ./script");
    EXPECT_EQ(outcome.code, 0) << outcome.output;
    Words lines;
    std::istringstream text(outcome.output);
    for (std::string line; std::getline(text, line);) {
      if (line != "script") lines.push_back(line);
    }
    return lines;
  }
  // As bash calls the function: with the words that it has split, the last of which is to be completed.
  Words bash(const std::string& words) const {
    return lines_of("#!bash\nsource <('" CONVOY_TEST_EXECUTABLE
                    "' completion bash)\n"
                    "read -r _ _ function _ < <(complete -p convoy)\n"
                    "COMP_WORDS=(" +
                    words +
                    ")\nCOMP_CWORD=$((${#COMP_WORDS[@]} - 1))\n$function\n"
                    "[ ${#COMPREPLY[@]} -eq 0 ] || printf '%s\\n' \"${COMPREPLY[@]}\"\n");
  }
  static bool has(const std::string& shell) { return test::run_shell("command -v " + shell).code == 0; }

  TemporaryFolder folder_;
};

Words names_of(std::span<const EmbeddedFile> files) {
  Words names;
  for (const EmbeddedFile& file : files) names.emplace_back(file.name);
  return names;
}

TEST_F(Completion, bash_has_every_command_and_every_option) {
  EXPECT_THAT(bash("convoy ''"), IsSupersetOf({"train", "eval", "predict", "completion", "--help"}));
  EXPECT_THAT(bash("convoy pre"), UnorderedElementsAre("predict", "preflight"));
  const Words options = bash("convoy train --");
  for (const RunOption& option : run_options()) {
    EXPECT_THAT(options, Contains("--" + std::string(option.name)));
  }
  EXPECT_THAT(options, IsSupersetOf({"--recipe", "--group", "--no-deterministic", "--help-all"}));
  EXPECT_THAT(bash("build/convoy train --optimi"), ElementsAre("--optimizer"));
  EXPECT_THAT(bash("convoy eval --batch-per"), IsEmpty());
}

TEST_F(Completion, bash_has_the_words_that_an_option_takes) {
  EXPECT_THAT(bash("convoy train --optimizer ''"), ElementsAre("sgd", "adam", "adamw", "muon"));
  EXPECT_THAT(bash("convoy train --optimizer = ad"), ElementsAre("adam", "adamw"));
  EXPECT_THAT(bash("convoy train --optimizer ="), ElementsAre("sgd", "adam", "adamw", "muon"));
  EXPECT_THAT(bash("convoy train --epochs 3 --views ''"), ElementsAre("1", "2", "6"));
  EXPECT_THAT(bash("convoy train --evaluate-every ''"), ElementsAre("end"));
  EXPECT_THAT(bash("convoy completion ''"), ElementsAre("bash", "zsh", "fish"));
  EXPECT_THAT(bash("convoy train --epochs ''"), IsEmpty());
}

TEST_F(Completion, bash_has_shipped_names_and_files) {
  Words recipes = names_of(embedded_recipes()), networks = names_of(embedded_networks());
  for (Words* names : {&recipes, &networks}) names->insert(names->end(), {"images one", "images-two"});
  EXPECT_THAT(bash("convoy train --recipe ''"), testing::UnorderedElementsAreArray(recipes));
  EXPECT_THAT(bash("convoy info --model ''"), testing::UnorderedElementsAreArray(networks));
  for (const char* option : {"train --data", "train --out", "train --init", "eval --weights", "predict"}) {
    EXPECT_THAT(bash(std::string("convoy ") + option + " im"), UnorderedElementsAre("images one", "images-two"));
  }
  EXPECT_THAT(bash("convoy train --resume ''"), UnorderedElementsAre("auto", "images one", "images-two"));
  EXPECT_THAT(bash("convoy train im"), IsEmpty()) << "it takes options alone";
}

TEST_F(Completion, fish_completes_the_same) {
  if (!has("fish")) GTEST_SKIP() << "no fish on the PATH";
  const auto fish = [&](const std::string& line) {
    return lines_of("#!fish\n'" CONVOY_TEST_EXECUTABLE "' completion fish | source\ncomplete -C '" + line +
                    "' | cut -f 1\n");
  };
  EXPECT_THAT(fish("convoy pre"), UnorderedElementsAre("predict", "preflight"));
  EXPECT_THAT(fish("convoy train --optimizer "), UnorderedElementsAre("sgd", "adam", "adamw", "muon"));
  EXPECT_THAT(fish("convoy train --optimi"), UnorderedElementsAre("--optimizer"));
  EXPECT_THAT(fish("convoy train --recipe fas"), UnorderedElementsAre("fashion"));
  EXPECT_THAT(fish("convoy train --data im"), Contains("images-two/"));
}

TEST_F(Completion, zsh_reads_its_script) {
  if (!has("zsh")) GTEST_SKIP() << "no zsh on the PATH";
  const Words lines = lines_of("#!zsh\nautoload -U compinit && compinit -D\nsource <('" CONVOY_TEST_EXECUTABLE
                               "' completion zsh)\necho $_comps[convoy]\n"
                               // What _arguments would be given.
                               "_arguments() { print -rl -- \"$@\" }\nwords=(convoy train '') CURRENT=3\n_convoy\n");
  EXPECT_THAT(lines, Contains("_convoy"));
  EXPECT_THAT(lines, Contains("--optimizer=[update rule (sgd)]:value:(sgd adam adamw muon)"));
  EXPECT_THAT(lines, Contains(testing::StartsWith("--data=[folder, archive or file with the images, or 'synthetic'")));
  EXPECT_THAT(lines, Contains(testing::EndsWith(":value:_files")));
}

TEST_F(Completion, an_unknown_shell_is_wrong_usage) {
  const auto outcome = test::run_shell("'" CONVOY_TEST_EXECUTABLE "' completion tcsh 2>&1");
  EXPECT_EQ(outcome.code, 2);
  EXPECT_EQ(outcome.output, "convoy: completion: one of bash|zsh|fish expected, 'tcsh' found\n");
}

}  // namespace
}  // namespace convoy
