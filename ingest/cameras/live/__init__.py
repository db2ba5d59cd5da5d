"""Cameras that are running now: MJPEG and single pictures over HTTP, video over RTSP."""
