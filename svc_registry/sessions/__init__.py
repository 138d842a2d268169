"""Workers and their sessions: the Connect stream, its heartbeats, and what is told down it.

Commands and previews travel the same stream and come with later issues, as do ReportWorkerStolen and DeleteWorker.
"""
