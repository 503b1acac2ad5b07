BforecastJ ช/G?2
k?Ou?ซ|?ฒิเ>M22?ศ—=&h๎>