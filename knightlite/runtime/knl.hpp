// The runtime in C++17, header only: memory is owned, errors are exceptions.
//
//     knl::network net = knl::network::from_files("X_r.cfg", "X_r.weight");
//     net.write(0, values);                     // real numbers, [C, H, W]
//     net.run();
//     std::vector<float> scores = net.read(0);
//
// knl::network can be moved, not copied. Link with the runtime's C sources.
#ifndef KNL_HPP
#define KNL_HPP

#include <cstddef>
#include <cstdint>
#include <fstream>
#include <iterator>
#include <stdexcept>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "knl.h"
#include "knl_real.h"

namespace knl {

using bytes = std::vector<std::uint8_t>;

// What the runtime refuses: its status, and a sentence.
class error : public std::runtime_error {
  public:
    error(int status, const std::string &sentence) : std::runtime_error(sentence), status_(status) {}
    int status() const noexcept { return status_; }

  private:
    int status_;
};

// RGB, 3 bytes a pixel, rows one behind the other.
struct picture {
    std::uint32_t height = 0, width = 0;
    bytes pixels;
};

struct tensor {
    std::string_view name;
    std::uint64_t channels, height, width;
    std::uint32_t type; // KNL_U8, KNL_S8, KNL_S16
    std::uint64_t count() const { return channels * height * width; }
};

inline bytes read_file(const std::string &name) {
    std::ifstream opened(name, std::ios::binary);
    if (!opened)
        throw error(KNL_ARGUMENT, name + " cannot be read.");
    bytes found{std::istreambuf_iterator<char>(opened), std::istreambuf_iterator<char>()};
    if (opened.bad())
        throw error(KNL_ARGUMENT, name + " cannot be read.");
    return found;
}

class network {
  public:
    // The files stay in memory: constants are read in place. `options`: KNL_CHECKED, KNL_CHIP_ONLY.
    network(bytes cfg, bytes weight, unsigned options = KNL_CHIP_ONLY)
        : cfg_(std::move(cfg)), weight_(std::move(weight)) {
        require(knl_open(&net_, cfg_.data(), cfg_.size(), weight_.data(), weight_.size(), options,
                         &error_));
        for (unsigned side = 0; side < KNL_SIDES; ++side) {
            outside_[side].resize(static_cast<std::size_t>(knl_outside_bytes(&net_, side)));
            if (!outside_[side].empty())
                set_outside(side, outside_[side].data(), outside_[side].size());
        }
        arena_.resize(knl_arena_bytes(&net_));
        require(knl_start(&net_, arena_.data(), arena_.size(), &error_));
    }

    static network from_files(const std::string &cfg, const std::string &weight,
                              unsigned options = KNL_CHIP_ONLY) {
        return network(read_file(cfg), read_file(weight), options);
    }

    network(network &&) = default;
    network &operator=(network &&) = default;
    network(const network &) = delete;
    network &operator=(const network &) = delete;

    std::string_view name() const { return text(net_.name); }
    std::string_view chip() const { return text(net_.chip); }
    std::size_t arena_bytes() const { return arena_.size(); }
    std::uint32_t inputs() const { return knl_inputs(&net_); }
    std::uint32_t outputs() const { return knl_outputs(&net_); }
    tensor input(std::uint32_t index) const { return described(input_index(index)); }
    tensor output(std::uint32_t index) const { return described(output_index(index)); }

    // Inputs or outputs (KNL_INPUTS, KNL_OUTPUTS) in place in memory of the caller's, which must stay:
    // of a network compiled with --input-indep or --output-indep.
    std::size_t outside_bytes(unsigned side) const {
        return static_cast<std::size_t>(knl_outside_bytes(&net_, side));
    }
    void set_outside(unsigned side, void *memory, std::size_t size) {
        require(knl_set_outside(&net_, side, memory, size, &error_));
    }

    // Real numbers [C, H, W] into an input; std::vector, std::array or anything with data and size.
    template <typename Values> void write(std::uint32_t index, const Values &values) {
        const float *first = values.data();
        require(knl_write_real(&net_, input_index(index), first, values.size(), &error_));
    }

    // Integers of the input's type [C, H, W].
    void write_integers(std::uint32_t index, const void *values, std::size_t size) {
        require(knl_write(&net_, input_index(index), values, size, &error_));
    }

    // A picture into an input, by a recipe.
    void write(std::uint32_t index, const picture &shown, const knl_recipe &recipe) {
        if (shown.pixels.size() != std::size_t{3} * shown.height * shown.width)
            throw error(KNL_ARGUMENT, "a picture must have 3 bytes a pixel.");
        const std::uint32_t which = input_index(index);
        bytes scratch(knl_picture_bytes(&net_, which, &recipe, shown.height, shown.width));
        require(knl_write_picture(&net_, which, &recipe, shown.pixels.data(), shown.height,
                                  shown.width, scratch.data(), scratch.size(), &error_));
    }

    // All inputs must be written anew for each run, which may use their memory again.
    // Throws where what the host computes between segments could not be.
    void run() {
        knl_run(&net_, nullptr, nullptr);
        require(knl_host_status(&net_, &error_));
    }

    // Where states stay from one run to the next: the next run is the first one again.
    void reset() { knl_reset(&net_); }

    // Real numbers [C, H, W] of an output.
    std::vector<float> read(std::uint32_t index) const {
        std::vector<float> found(output(index).count());
        require(knl_read_real(&net_, output_index(index), found.data(), found.size(), &error_));
        return found;
    }

    // Integers of an output [C, H, W], little-endian.
    bytes read_integers(std::uint32_t index) const {
        const knl_tensor known = knl_tensor_at(&net_, output_index(index));
        bytes found(knl_tensor_bytes(&known));
        require(knl_read(&net_, output_index(index), found.data(), found.size(), &error_));
        return found;
    }

  private:
    static std::string_view text(const knl_text &of) { return {of.bytes, of.length}; }

    void require(int status) const {
        if (status)
            throw error(status, error_.sentence);
    }

    std::uint32_t input_index(std::uint32_t index) const {
        if (index >= inputs())
            throw error(KNL_ARGUMENT, "the network has no input " + std::to_string(index) + ".");
        return knl_input(&net_, index);
    }

    std::uint32_t output_index(std::uint32_t index) const {
        if (index >= outputs())
            throw error(KNL_ARGUMENT, "the network has no output " + std::to_string(index) + ".");
        return knl_output(&net_, index);
    }

    tensor described(std::uint32_t which) const {
        const knl_tensor known = knl_tensor_at(&net_, which);
        return {text(known.name), known.channels, known.height, known.width, known.type};
    }

    // heap memory keeps its place where the network is moved
    bytes cfg_, weight_;
    std::vector<std::uint8_t> arena_, outside_[KNL_SIDES];
    knl_network net_{};
    mutable knl_error error_{};
};

} // namespace knl

#endif
