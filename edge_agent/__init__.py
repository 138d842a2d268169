"""The agent beside the cameras: pixels stay here, faces' events go out, and nothing is lost while the mesh is away."""
