"""Who watches which camera: one fenced lease per camera, and the loop that places it.

A camera that nobody watches is granted ACTIVE at once; one that must leave a worker that answers moves by soft reclaim
(PENDING, then the flip of its epoch at LeaseReady). Rebalancing, PinCamera, ReleaseCamera and the brake on mass reclaim
come with a later issue; until then nothing is ever RELEASING.
"""
