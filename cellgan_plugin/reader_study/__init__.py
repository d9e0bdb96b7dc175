"""Blinded reader studies: can a pathologist tell synthetic images from real ones, and name them?"""
