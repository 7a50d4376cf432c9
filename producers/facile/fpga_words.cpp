// The FPGA's interface, put around the design that hls4ml has written: rows of words in, one word a row out.
// FaaST's kernel does the same with the words of its 512-bit bus.
#include <cstddef>
#include <cstdint>

extern "C" void evproc_words(const uint16_t *rows_in, uint16_t *rows_out, size_t rows) {
    for (size_t row = 0; row < rows; ++row) {
        input_t words[EVPROC_INPUTS];
        result_t answer[1];
        for (int place = 0; place < EVPROC_INPUTS; ++place) {
            words[place].range(15, 0) = rows_in[EVPROC_INPUTS * row + place];
        }
        facile(words, answer);
        rows_out[row] = static_cast<uint16_t>(answer[0].range(15, 0).to_uint());
    }
}
