"""models/datasets"""
