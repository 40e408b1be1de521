print("ckbackup")
