"""read_saes.py FOLDER …: reads checkpoints by the library of their layout and prints, for each, what it makes of x in given.safetensors, against ours there. See saes/README.md."""
import json, sys
from pathlib import Path
import torch
from safetensors.torch import load_file

torch.set_num_threads(1)
worst = lambda a, b: ((a - b).abs().max() / b.abs().max()).item()
for folder in map(Path, sys.argv[1:]):
    ours = load_file(folder / 'given.safetensors')
    with torch.no_grad():
        if (folder / 'sae_weights.safetensors').exists():
            import sae_lens
            sae = sae_lens.SAE.load_from_disk(folder)
            acts, recon, by = sae.encode(ours['x']), sae(ours['x']), f'sae-lens {sae_lens.__version__} {type(sae).__name__}'
        else:
            import importlib.metadata
            from sparsify import SparseCoder
            sae = SparseCoder.load_from_disk(folder, device='cpu')
            code = sae.encode(ours['x'])
            acts = torch.zeros_like(ours['acts']).scatter_(1, code.top_indices, code.top_acts)
            # its forward gives y where there is one; a multi_topk one is not written here
            recon, by = sae(ours['x'], ours['recon']).sae_out, f"eai-sparsify {importlib.metadata.version('eai-sparsify')}"
    print(json.dumps(dict(folder=folder.name, by=by, latents=bool(((acts > 0) == (ours['acts'] > 0)).all()), acts=worst(acts, ours['acts']), recon=worst(recon, ours['recon']))))
