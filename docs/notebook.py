# %% [markdown]
# # A sweep from Python
# Two simulated hospitals, two recipes, one seed each; runs in this process, without Ray. Open it as a notebook (cells begin with `# %%`) or run it.

# %%
import torch

import recipe_finder as rf

# %% Data: two simulated scanners; `rf.import_dataset("busi", "PATH/TO/BUSI", "shards/busi")` reads a published data set
for scanner in ("a", "b"):
    print(rf.import_dataset(f"phantom-{scanner}", None, f"shards/{scanner}", patients=30, image_px=32).images, "images")
facts = rf.audit(["shards/a", "shards/b"])
print(len(facts.copies), "near-duplicates")

# %% A sweep config as a mapping
config = {
    "name": "notebook",
    "data": {"source": "shards/a", "target": "shards/b", "image_px": 32},
    "grid": {"colorizer": ["none", "pixelshuffle"]},
    "fixed": {"backbone": "small_cnn", "epochs": 1, "batch_size": 8},
    "seeds": 1,
    "threats": {"attacks": ["fgsm"], "eps": ["1/255"], "images": 8},
    "resources": {"engine": "inline"},
}
print(rf.plan(config))

# %% Run it; the same call again finds every record done
folder = rf.run(config)
ranking = rf.rank(folder)
print(ranking[["rank", "signature", "colorizer", "auroc/target", "auroc/target:low", "auroc/target:high"]])
print(rf.report(folder))

# %% The ledger, one record again, and its model
print(len(rf.read_ledger(folder).finished()), "records finished,", len(rf.read_ledger(folder).failed()), "failed")
again = rf.replay(folder, "best")
print(sum(before == now for before, now in again.values()), "of", len(again), "metrics are the same")
model = rf.load_model(folder, "best")
print(model(torch.rand(2, 1, 32, 32)).softmax(dim=1))

# %% The parts alone: co-occurrence counts and the texture loss
images = (torch.rand(4, 32, 32) * 255).to(torch.uint8)
print(rf.glcm(images, levels=256).shape)
